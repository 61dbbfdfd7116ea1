"""asteroid/processes.py: fresh single-threaded processes that report back or say how they died."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from asteroid.errors import AsteroidError
from asteroid.processes import call_in_process
from tests.labelling import workers

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def run(script: str, **environment: str) -> list[str]:
    """What a Python script prints, word by word."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    told = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT | environment, check=True)
    return told.stdout.split()


def test_a_call_returns_what_the_function_returns():
    assert call_in_process(workers.add, 2, b=3) == 5


def test_an_exception_arrives_with_its_own_type():
    with pytest.raises(KeyError, match="expected by the test"):
        call_in_process(workers.fail)


def test_a_killed_process_is_reported_with_its_signal():
    with pytest.raises(AsteroidError, match=r"die was killed by SIGKILL"):
        call_in_process(workers.die)


@pytest.mark.parametrize("preload", [[], ["asteroid.units"]], ids=["spawned", "from a server"])
def test_every_call_has_a_process_of_its_own_with_the_caller_s_environment(preload: list[str]) -> None:
    # Not in this process: what its server has imported serves the tests that come later.
    script = f"""
        import os
        from asteroid.processes import call_in_process
        for value in "12":
            os.environ["ASTEROID_TEST"] = value
            print(call_in_process(os.getenv, "ASTEROID_TEST", preload={preload}))
            print(call_in_process(os.getpid, preload={preload}))
        print(os.getpid())
    """
    one, first, two, second, here = run(script)
    assert (one, two) == ("1", "2")
    assert len({first, second, here}) == 3


@pytest.mark.parametrize("context", ["CleanContext", "WarmContext"])
def test_ctrl_c_never_reaches_a_worker_not_even_the_first(context: str) -> None:
    # In a script of its own: the first worker of a process starts Python's resource tracker, which unblocks signals.
    script = f"""
        from asteroid.processes import {context}
        from tests.labelling import workers
        for _ in range(2):
            worker = {context}().Process(target=workers.say_whether_interrupts_are_blocked)
            worker.start()
            worker.join()
        workers.say_whether_interrupts_are_blocked()
    """
    assert run(script) == ["True", "True", "False"]


def test_where_no_server_can_listen_a_process_is_spawned(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 20)
    folder.mkdir()
    script = """
        from asteroid.processes import call_in_process
        from tests.labelling import workers
        print(call_in_process(workers.add, 2, 3, preload=["asteroid.units"]))
    """
    assert run(script, TMPDIR=str(folder)) == ["5"]


def test_what_is_preloaded_is_imported_once_and_not_by_the_caller() -> None:
    script = """
        import os, sys
        from asteroid.processes import call_in_process
        from tests.labelling import workers
        print(*(call_in_process(workers.importer, preload=["tests.labelling.preloaded"]) for _ in range(2)))
        print(os.getpid(), "tests.labelling.preloaded" in sys.modules)
    """
    first, second, here, imported_here = run(script)
    assert first == second != here
    assert imported_here == "False"


def alive(pid: int) -> bool:
    """Running, and not a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
@pytest.mark.parametrize("context", ["CleanContext", "WarmContext"])
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, context: str) -> None:
    script = tmp_path / "parent.py"
    # No __main__ guard: the worker must not run this script again.
    script.write_text(
        textwrap.dedent(
            f"""
            import os, time
            from pebble import ProcessPool
            from asteroid.processes import {context}, die_with_parent
            pool = ProcessPool(1, initializer=die_with_parent, context={context}())
            print(pool.schedule(os.getpid).result(), flush=True)
            pool.schedule(time.sleep, args=(60,))
            time.sleep(60)
            """
        )
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert alive(worker)
        parent.kill()
    deadline = time.monotonic() + 5
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(worker)
