"""The services of ``infra/compose.yaml`` as processes of this machine: its commands and environments, no containers."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from infra.images.test import COMPOSE, compose_environment, free_ports
from tests.cluster.postgres import Database
from tests.slurm.cluster import wait
from tests.slurm.processes import command_of, processes_with, variable_of
from tests.slurm.site import PATIENCE, PREFECT, ROOT, Site

MARK = "ASTEROID_CLUSTER_TEST"
"""Variable that tells all processes of a service, flow runs included."""
WORKERS = ("orchestrator", "cheap-cpu", "accurate-cpu.1", "accurate-cpu.2", "gpu")
"""One of each pool, two of the one for accurate labels, as with Compose's ``--scale accurate-cpu=2``."""


class Services(Site):
    """Server, deployments and workers, started by :func:`services`.

    Args:
        auth: user and password of the server.
        store: variables of ``store.env``, for the workers alone.
    """

    def __init__(self, folder: Path, auth: str, database: Database, store: dict[str, str]) -> None:
        self._ports = free_ports(1 + len(WORKERS))
        self._known = {"PREFECT_AUTH_STRING": auth, "POSTGRES_PASSWORD": database.password, "ASTEROID_CORES": "1"}
        self._addresses = {
            "//server:4200": f"//127.0.0.1:{self._ports[0]}",
            "@postgres:5432": f"@127.0.0.1:{database.port}",
            "/opt/asteroid/store/served-reports": str(folder / "reports"),
        }
        self._store = store
        super().__init__(folder, {})
        self.environment = self._environment("deploy", "client")

    def start_service(self, service: str, name: str) -> "subprocess.Popen[bytes]":
        """Start a service of the compose file under a name of its own."""
        words = {"prefect": PREFECT, "python": sys.executable, "0.0.0.0": "127.0.0.1", "4200": str(self._ports[0])}
        command = [words.get(word, word) for word in COMPOSE["services"][service]["command"]]
        return self.start(name, *command, environment=self._environment(service, name))

    def is_healthy(self, name: str) -> bool:
        """Whether a worker's health check answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port(name)}/health", timeout=5):
                return True
        except OSError:
            return False

    def processes(self, name: str) -> list[int]:
        """Of a service: itself, its flow runs, and what these have started."""
        return processes_with(f"{MARK}={self.folder / name}")

    def flow_run(self, name: str) -> dict[str, str] | None:
        """The flow run that a worker is at, once it has processes of its own at work; None without one."""
        commands = {pid: command_of(pid) for pid in self.processes(name)}
        engines = [pid for pid, command in commands.items() if "prefect.engine" in command]
        children = [pid for pid, command in commands.items() if "spawn_main" in command or "forkserver" in command]
        run = variable_of(engines[0], "PREFECT__FLOW_RUN_ID") if engines and children else None
        return dict(self.ask(f"flow_runs/{run}")) if run else None

    def lose(self, name: str) -> None:
        """Kill everything of a service at once, as when its machine loses its power."""
        for pid in self.processes(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._running.pop(name).wait()

    def _environment(self, service: str, name: str) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "ASTEROID_", "AWS_"))}
        found = compose_environment(service, self._known)
        for there, here in self._addresses.items():
            found = {key: value.replace(there, here) for key, value in found.items()}
        found |= {MARK: str(self.folder / name), "PREFECT_HOME": str(self.folder / f"{name}.prefect")}
        if "env_file" in COMPOSE["services"][service]:
            found |= self._store | {"PREFECT_WORKER_WEBSERVER_PORT": str(self._port(name))}
        return own | {"PYTHONPATH": str(ROOT)} | found

    def _port(self, worker: str) -> int:
        """Of a worker's health check: on one host, they cannot all have 8080."""
        return self._ports[1 + WORKERS.index(worker)]


@contextlib.contextmanager
def services(folder: Path, auth: str, database: Database, store: dict[str, str]) -> Iterator[Services]:
    """Start everything in the order of the compose file; stop it at the end, the server last."""
    made = Services(folder, auth, database, store)
    try:
        made.start_service("server", "server")
        wait(made.answers, "the server did not answer", PATIENCE)
        if made.start_service("deploy", "deploy").wait(PATIENCE):
            raise RuntimeError((folder / "deploy.log").read_text())
        for name in WORKERS:
            made.start_service(pool_of(name), name)
        for name in WORKERS:
            wait(partial(made.is_healthy, name), f"{name} did not answer")
        yield made
    finally:
        made.stop_all()


def pool_of(worker: str) -> str:
    """Work pool, and name of the service in the compose file, of one of the WORKERS."""
    return worker.partition(".")[0]
