"""The deployed pipeline on its own server, pools and workers, as ``make up`` starts them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asteroid.store import Store

ROOT = Path(__file__).resolve().parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))


def free_ports() -> int:
    """A port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a client of a fresh server with workers."""
    port = free_ports()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment |= {"ASTEROID_PORT": str(port), "ASTEROID_STATE": str(tmp_path / "state")}
    local = [sys.executable, "-m", "infra.local"]
    subprocess.run([*local, "up"], cwd=ROOT, env=environment, check=True, timeout=240)
    try:
        yield environment | {
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_HOME": str(tmp_path / "client"),
        }
    finally:
        subprocess.run([*local, "down"], cwd=ROOT, env=environment, check=True, timeout=60)
        assert not processes_naming(str(tmp_path)), "make down leaves nothing running"


def processes_naming(text: str) -> dict[int, str]:
    """Living processes whose command line or environment names a text, but for this one."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
            living = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            continue
        if living and int(entry.name) != os.getpid() and (text in command or text in environment):
            found[int(entry.name)] = command
    return found


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_deployment_finishes_although_a_shard_is_killed(server: dict[str, str], manifest: Path) -> None:
    # Labels of a second or so each, so that the shard can be caught in the middle.
    manifest.write_text(manifest.read_text().replace("hf/sto-3g", "ccsd(t)/cc-pvdz"))
    store = Store(manifest.parent / "store")
    run = [PREFECT, "deployment", "run", "asteroid/full-pipeline", "-p", f"manifest={manifest}", "--watch"]
    client = subprocess.Popen(run, cwd=manifest.parent, env=server, stdout=subprocess.PIPE, text=True)
    try:
        victim = wait_for_shard(client, server, store)
        os.kill(victim, signal.SIGKILL)
        output, _ = client.communicate(timeout=600)
    finally:
        client.kill()
    assert client.returncode == 0, output
    for level in store.levels("water"):
        ids = store.attempts("water", level)["frame_id"].to_pylist()
        assert len(ids) == len(set(ids)) == len(store.selected("water", level))
    assert any(
        name.endswith("report.html") for r in store.names("reports/water") for name in store.names(f"reports/water/{r}")
    )


def wait_for_shard(client: "subprocess.Popen[str]", server: dict[str, str], store: Store) -> int:
    """The process of the flow run that labels at the accurate level, once it is at work."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert client.poll() is None, client.stdout.read() if client.stdout else ""
        levels = store.levels("water") if store.molecules() else []
        pending = [str(level) for level in levels if store.pending("water", level)]
        running = processes_naming(server["ASTEROID_STATE"])
        engines = {p for p, command in running.items() if "prefect.engine" in command}
        # Besides the parent's engine process there is the shard's, and it has started label workers.
        if len(levels) == 2 and pending == ["ccsd(t)/cc-pvdz"] and len(engines) == 2:
            workers = [p for p, command in running.items() if "spawn_main" in command]
            if shard := engines & {parent_of(p) for p in workers}:
                return shard.pop()
        time.sleep(0.1)
    raise AssertionError("no shard was seen at work")


def parent_of(pid: int) -> int:
    """0 when the process has ended."""
    try:
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
