"""Ctrl-C and SIGTERM on a run: soon over, one line, nothing left running, and the next run goes on."""

import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asteroid.labelling.scratch import PREFIX
from asteroid.store import Store

ASTEROID = [sys.executable, "-m", "asteroid.cli"]
SECONDS = 15.0
LINE = "stopped; run the same command again to go on"


class Started:
    """A command in a session and on a terminal of its own, as a shell starts it."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        self._terminal, theirs = pty.openpty()
        self._errors = (folder / "errors").open("w+")
        # All processes that it starts are found by this, also when their parent is gone.
        self.mark = f"ASTEROID_TEST={folder}"
        # Not in the test's own, whose path is too long for a socket.
        self._temporary = tempfile.TemporaryDirectory()
        environment = os.environ | dict([self.mark.split("=", 1)]) | {"TMPDIR": self._temporary.name}
        self.process = subprocess.Popen(
            [*ASTEROID, *arguments],
            env=environment,
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
            # What is started in the background of a shell script ignores it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(theirs)

    def wait_for(self, caught: Callable[[], bool]) -> None:
        """Until that is so and a process of this command computes."""
        deadline = time.monotonic() + 200
        while not (caught() and any("from multiprocessing" in command for command in self.left())):
            assert self.process.poll() is None, f"it ended before it could be stopped: {self.errors()}"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self) -> float:
        """How long it takes to end, with all processes that it has started: s."""
        began = time.monotonic()
        self.process.wait(timeout=2 * SECONDS)
        while self.left():
            assert time.monotonic() < began + SECONDS, self.left()
            time.sleep(0.05)
        return time.monotonic() - began

    def left(self) -> list[str]:
        """Command lines of living processes of this command."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                mine = self.mark.encode() in (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if mine and command:
                found.append(command)
        return found

    def left_in_temporary(self) -> list[str]:
        """Of asteroid and multiprocessing, but for what label workers left: the next run removes it."""
        names = [path.name for path in Path(self._temporary.name).iterdir()]
        return [name for name in names if name.startswith(("asteroid", "pymp")) and not name.startswith(PREFIX)]

    def errors(self) -> str:
        self._errors.seek(0)
        # The manifest is so small that it is warned of.
        return "\n".join(line for line in self._errors if not line.startswith("warning: ")).strip()


def labelling(store: Store) -> Callable[[], bool]:
    return lambda: bool(store.molecules()) and any(store.selected("water", level) for level in store.levels("water"))


def training(store: Store) -> Callable[[], bool]:
    return lambda: any(Path(store.url, "checkpoints").rglob("*"))


@pytest.fixture
def long_manifest(manifest: Path) -> Path:
    """Labels of a second or so each, and trainings of minutes, so that both can be stopped in the middle."""
    text = manifest.read_text().replace("steps: 20", "steps: 4000").replace("hf/sto-3g", "ccsd(t)/cc-pvdz")
    manifest.write_text(text.replace("{accurate: 10, test: 4}", "{accurate: 5, test: 2}"))
    return manifest


@pytest.mark.long
def test_a_run_that_is_stopped_while_it_labels_or_trains_ends_soon_and_says_how_to_go_on(long_manifest: Path) -> None:
    store = Store(long_manifest.parent / "store")
    for caught, number, group in (
        (labelling(store), signal.SIGINT, True),
        (labelling(store), signal.SIGTERM, False),
        (training(store), signal.SIGTERM, False),
        (training(store), signal.SIGINT, True),
    ):
        run = Started("run", str(long_manifest), folder=long_manifest.parent)
        run.wait_for(caught)
        # What a terminal does, and what a service manager does.
        (os.killpg if group else os.kill)(run.process.pid, number)
        assert run.end() < SECONDS
        assert run.errors() == LINE
        assert run.process.returncode == 128 + number
        assert run.left_in_temporary() == []


def test_a_command_that_stores_nothing_does_not_promise_to_go_on(tmp_path: Path) -> None:
    frame = "3\n\nO 0 0 0\nH 0.76 0.59 0\nH -0.76 0.59 0\n"
    (tmp_path / "water.xyz").write_text(40 * frame)
    label = Started("label", str(tmp_path / "water.xyz"), "--level", "ccsd(t)/cc-pvtz", folder=tmp_path)
    # Earlier, on a busy machine, Python itself is still starting and says so.
    label.wait_for(lambda: len(label.left()) > 1)
    os.killpg(label.process.pid, signal.SIGINT)
    assert label.end() < SECONDS
    assert label.errors() == "stopped; nothing was stored"
    assert label.process.returncode == 130


@pytest.mark.slow
def test_a_second_interrupt_ends_at_once(manifest: Path) -> None:
    manifest.write_text(manifest.read_text().replace("frames: 40", "frames: 4000"))
    run = Started("run", str(manifest), folder=manifest.parent)
    run.wait_for(lambda: any(Path(manifest.parent, "store").rglob("*")))
    for _ in range(2):
        os.killpg(run.process.pid, signal.SIGINT)
        time.sleep(0.1)
    run.process.wait(timeout=2)
    assert run.process.returncode == 130
    assert run.end() < SECONDS
    assert run.errors() == LINE
