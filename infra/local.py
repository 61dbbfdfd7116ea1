"""``make up`` and ``make down``: a Prefect server, work pools, deployments and workers on this machine.

Everything listens on 127.0.0.1 and keeps its state in ``.asteroid/``; API and UI ask for the string in
``.asteroid/auth``. Processes that end are restarted (:mod:`infra.supervisor`). SQLite locks under many workers, so set
``ASTEROID_DATABASE_URL`` to a ``postgresql+asyncpg://…`` URL for more than a demo. For a second server, set
``ASTEROID_PORT`` and ``ASTEROID_STATE`` (the folder).
"""

import argparse
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra import running
from infra.running import HOME, STATE

SUPERVISOR = "supervisor"
AUTH = STATE / "auth"
REPORTS = STATE / "reports"
"""Copies of reports, to which the UI links."""
PORT = int(os.environ.get("ASTEROID_PORT", "4200"))
API = f"http://127.0.0.1:{PORT}/api"
FILES = f"http://127.0.0.1:{PORT + 1}"
PREFECT_TOML = STATE.parent / "prefect.toml"
START_SECONDS = 300.0
BATCH = "200"
"""With the default batch size of 1, the server's recorders lose records in bursts."""


@dataclass(frozen=True)
class Pool:
    """A work pool, and the number of parallel flow runs of its worker on this machine."""

    name: str
    limit: int


def pools() -> tuple[Pool, ...]:
    """One labelling flow run per pool, which uses every core; one training per GPU, or per core without a GPU."""
    trainings = 1 if shutil.which("nvidia-smi") else len(os.sched_getaffinity(0))
    return (Pool("orchestrator", 4), Pool("cheap-cpu", 1), Pool("accurate-cpu", 1), Pool("gpu", trainings))


def environment() -> dict[str, str]:
    """Environment of server and workers; the user's own Prefect profile is neither read nor changed."""
    result = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    result |= {
        "ASTEROID_HOME": str(HOME),
        "ASTEROID_REPORTS": str(REPORTS),
        "ASTEROID_REPORTS_URL": FILES,
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "PREFECT_API_AUTH_STRING": auth_string(),
        "PREFECT_API_URL": API,
        "PREFECT_HOME": str(STATE / "prefect"),
        "PREFECT_PROFILES_PATH": str(STATE / "prefect" / "profiles.toml"),
        "PREFECT_SERVER_API_AUTH_STRING": auth_string(),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # So that `--watch` shows log lines.
        "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "true",
        "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED": "true",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": BATCH,
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": BATCH,
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": BATCH,
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": BATCH,
        # Each poll of a worker costs the server some 30 ms of CPU.
        "PREFECT_WORKER_QUERY_SECONDS": "5",
        "PYTHONPATH": str(HOME),
    }
    if url := os.environ.get("ASTEROID_DATABASE_URL"):
        result["PREFECT_API_DATABASE_CONNECTION_URL"] = url
    return result


def services() -> dict[str, list[str]]:
    """Commands of all services that are kept running, the server first."""
    prefect = str(Path(sys.executable).with_name("prefect"))
    result = {"server": [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(PORT)]}
    for pool in pools():
        worker = [prefect, "worker", "start", "--pool", pool.name, "--limit", str(pool.limit)]
        result[f"worker-{pool.name}"] = [*worker, "--name", f"local-{pool.name}"]
    files = [sys.executable, "-m", "http.server", str(PORT + 1), "--bind", "127.0.0.1", "--directory", str(REPORTS)]
    return {**result, "files": files}


def auth_string() -> str:
    """``user:password`` of the API, generated once and readable by this user only."""
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not AUTH.exists():
        _write_secret(AUTH, f"asteroid:{secrets.token_urlsafe(24)}\n")
    return AUTH.read_text().strip()


def up() -> None:
    """Start all services that are not running."""
    missing = [name for name in (SUPERVISOR, *services()) if not running.is_running(name)]
    if not missing and _healthy():
        print(f"already running: UI at http://127.0.0.1:{PORT}")
        return
    for name, port in (("server", PORT), ("files", PORT + 1)):
        # A supervisor may be restarting it at this moment.
        if name in missing and SUPERVISOR in missing:
            _require_free(port)
    auth_string()
    REPORTS.mkdir(exist_ok=True)
    if "server" in missing:
        print("starting the server …", flush=True)
        if SUPERVISOR in missing:
            running.start("server", services()["server"], environment())
    _wait_for(_healthy, "the server did not answer", "server")
    # So that `prefect`, called in this folder, uses this server.
    settings = f'[api]\nurl = "{API}"\nauth_string = "{auth_string()}"\n'
    _write_secret(PREFECT_TOML, f"# Written by `make up`, removed by `make down`.\n{settings}")
    print("creating work pools, deployments and the automations for lost runs …", flush=True)
    deploy = [sys.executable, "-m", "infra.deploy", "process"]
    result = subprocess.run(deploy, cwd=HOME, env=environment(), capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(deploy)} failed:\n{result.stdout}{result.stderr}")
    if SUPERVISOR in missing:
        running.start(SUPERVISOR, [sys.executable, "-m", "infra.supervisor"], environment())
    _wait_for(lambda: all(map(running.is_running, services())), "not everything is running", SUPERVISOR)
    print(f"started: {', '.join(missing)}")
    prefect = _shown(services()["server"][0])
    print(
        f"""
UI        http://127.0.0.1:{PORT} asks for the string in {_shown(AUTH)}
reports   {FILES}
run       {prefect} deployment run asteroid/full-pipeline -p manifest=manifests/demo.yaml --watch
logs      {_shown(STATE)}/*.log
stop      make down"""
    )


def down() -> None:
    """Stop the supervisor, then the workers, then the server."""
    order = sorted(
        running.names(), key=lambda name: (name != SUPERVISOR, not name.startswith("worker"), name == "server")
    )
    for name in order:
        running.stop(name)
    PREFECT_TOML.unlink(missing_ok=True)
    print(f"stopped {', '.join(order)}" if order else "nothing was running")


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only this user can read, from its creation on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _wait_for(reached: Callable[[], bool], otherwise: str, name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            sys.exit(f"{otherwise} within {START_SECONDS:.0f} s; see {STATE / name}.log")
        time.sleep(0.3)


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
    """Read the command, ``up`` or ``down``, and run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("up", "down"))
    {"up": up, "down": down}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
