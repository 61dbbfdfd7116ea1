"""``make up`` and ``make down``: a Prefect server, work pools, deployments and workers on this machine.

Everything listens on 127.0.0.1 and keeps its state in ``.asteroid/``. Set ``ASTEROID_DATABASE_URL`` to a
``postgresql+asyncpg://…`` URL for more than a demo: SQLite locks under many workers. ``ASTEROID_PORT`` moves the ports
and ``ASTEROID_STATE`` the folder, for a second server beside the first.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
STATE = Path(os.environ.get("ASTEROID_STATE") or HOME / ".asteroid").resolve()
PIDS = STATE / "pids.json"
STORE = STATE.parent / "store"
PORT = int(os.environ.get("ASTEROID_PORT", "4200"))
API = f"http://127.0.0.1:{PORT}/api"
FILES = f"http://127.0.0.1:{PORT + 1}"
PREFECT_TOML = STATE.parent / "prefect.toml"
START_SECONDS = 120.0
BATCH = "200"
"""The server's recorders lose records of bursts with their default batch sizes of 1."""


@dataclass(frozen=True)
class Pool:
    """A work pool and how many flow runs its worker on this machine takes at once."""

    name: str
    limit: int


def pools() -> tuple[Pool, ...]:
    """A labelling flow run uses every core, so a pool has one at a time; a training uses one where there is no GPU."""
    trainings = 1 if shutil.which("nvidia-smi") else len(os.sched_getaffinity(0))
    return (Pool("orchestrator", 4), Pool("cheap-cpu", 1), Pool("accurate-cpu", 1), Pool("gpu", trainings))


def environment() -> dict[str, str]:
    """What server and workers run with; the user's own Prefect profile is neither read nor changed."""
    result = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    result |= {
        "ASTEROID_HOME": str(HOME),
        "ASTEROID_STORE_URL": FILES,
        "ASTEROID_SERVED_STORE": str(STORE),
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "PREFECT_API_URL": API,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_HOME": str(STATE / "prefect"),
        "PREFECT_PROFILES_PATH": str(STATE / "prefect" / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": BATCH,
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": BATCH,
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": BATCH,
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": BATCH,
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PYTHONPATH": str(HOME),
    }
    if url := os.environ.get("ASTEROID_DATABASE_URL"):
        result["PREFECT_API_DATABASE_CONNECTION_URL"] = url
    return result


def up() -> None:
    """Start what is not running yet."""
    if PIDS.exists() and _healthy():
        print(f"already running: UI at http://127.0.0.1:{PORT}")
        return
    down(quiet=True)
    for port in (PORT, PORT + 1):
        _require_free(port)
    STATE.mkdir(parents=True, exist_ok=True)
    STORE.mkdir(exist_ok=True)
    prefect = str(Path(sys.executable).with_name("prefect"))
    print("starting the server …", flush=True)
    server = [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(PORT)]
    _start("server", server)
    deadline = time.monotonic() + START_SECONDS
    while not _healthy():
        if time.monotonic() > deadline:
            sys.exit(f"the server did not answer within {START_SECONDS:.0f} s; see {STATE / 'server.log'}")
        time.sleep(0.3)
    # So that `prefect` called in this folder speaks to this server without any setting.
    PREFECT_TOML.write_text(f'# Written by `make up`, removed by `make down`.\n[api]\nurl = "{API}"\n')
    print("creating work pools, deployments and the automation for lost runs …", flush=True)
    _run(sys.executable, "-m", "infra.deploy", "process")
    print("starting the workers …", flush=True)
    for pool in pools():
        worker = [prefect, "worker", "start", "--pool", pool.name, "--limit", str(pool.limit)]
        _start(f"worker-{pool.name}", [*worker, "--name", f"local-{pool.name}"])
    files = [sys.executable, "-m", "http.server", str(PORT + 1), "--bind", "127.0.0.1", "--directory", str(STORE)]
    _start("files", files)
    print(
        f"""
UI        http://127.0.0.1:{PORT}
reports   {FILES}/reports/
run       {_shown(prefect)} deployment run asteroid/full-pipeline -p manifest=manifests/demo.yaml --watch
logs      {_shown(STATE)}/*.log
stop      make down"""
    )


def down(*, quiet: bool = False) -> None:
    """Stop workers before the server, and leave nothing running."""
    pids: dict[str, int] = json.loads(PIDS.read_text()) if PIDS.exists() else {}
    order = sorted(pids, key=lambda name: (not name.startswith("worker"), name == "server"))
    for name in order:
        _stop_session(pids[name])
    PIDS.unlink(missing_ok=True)
    PREFECT_TOML.unlink(missing_ok=True)
    if not quiet:
        print(f"stopped {', '.join(order)}" if order else "nothing was running")


def _start(name: str, command: list[str]) -> None:
    """Start a process in a session of its own, so that it and all its children can be stopped together."""
    with (STATE / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=HOME,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    pids = json.loads(PIDS.read_text()) if PIDS.exists() else {}
    pids[name] = process.pid
    PIDS.write_text(json.dumps(pids))


def _stop_session(session: int) -> None:
    """Ask every process of a session to end, and after ten seconds make it."""
    for wanted, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience
        asked: set[int] = set()
        while members := _session_members(session):
            for pid in members - asked:
                asked.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, wanted)
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)


def _session_members(session: int) -> set[int]:
    """Living processes of a session whose command line names this folder or its interpreter: a number may be reused."""
    members = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # Field 6 of stat is the session; the name before it, in brackets, may hold spaces.
            state, _, _, found = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            command = (entry / "cmdline").read_text()
        except OSError:
            continue
        if (
            int(found) == session
            and state != "Z"
            and ("prefect" in command or str(HOME) in command or sys.executable in command)
        ):
            members.add(int(entry.name))
    return members


def _run(*command: str) -> str:
    result = subprocess.run(command, cwd=HOME, env=environment(), capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def _healthy() -> bool:
    try:
        with urllib.request.urlopen(f"{API}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            sys.exit(f"port {port} is taken by another program; choose another: ASTEROID_PORT=4300 make up")


def _shown(path: str | Path) -> str:
    return os.path.relpath(path, HOME)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("up", "down"))
    {"up": up, "down": down}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
