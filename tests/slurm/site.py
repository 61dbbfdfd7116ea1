"""A Prefect server with an auth string and its workers as processes of this machine; :func:`site` is one beside a Slurm
cluster, with the orchestrator's worker and the autoscaler."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.slurm.cluster import Cluster, wait

ROOT = Path(__file__).resolve().parents[2]
PREFECT = str(Path(sys.executable).with_name("prefect"))
PATIENCE = 300.0
"""s for the server to answer on a busy machine."""

POOLS = """
pools:
  cheap-cpu: {max_jobs: 2, cores: 1, walltime: "00:20:00", notice: 30, idle: 40}
  accurate-cpu: {max_jobs: 3, cores: 1, walltime: "00:20:00", notice: 30, idle: 40}
  gpu: {max_jobs: 2, cores: 1, walltime: "00:20:00", notice: 30, idle: 40}
"""


def site_environment(folder: Path, port: int) -> dict[str, str]:
    """What ``make up`` gives to server and workers, for a server of its own in a folder."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "SLURM_", "ASTEROID_"))}
    own |= {"ASTEROID_STATE": str(folder), "ASTEROID_PORT": str(port), "ASTEROID_CORES": "1"}
    code = "import json; from infra import local; print(json.dumps(local.environment()))"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=own, check=True, capture_output=True, text=True)
    return dict(json.loads(made.stdout))


class Site:
    """Server, workers and other services.

    Args:
        folder: of the logs.
        environment: of clients, and of services without one of their own.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start a service, with its log in the folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment or self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[name] = process
        return process

    def stop(self, name: str, wanted: signal.Signals = signal.SIGTERM) -> None:
        """End a service."""
        process = self._running.pop(name)
        process.send_signal(wanted)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop_all(self) -> None:
        """End all services, the first one last."""
        for name in reversed(list(self._running)):
            self.stop(name)

    def start_autoscaler(self) -> None:
        logs = str(self.folder / "pilots")
        self.start(
            "autoscaler",
            *(sys.executable, "-m", "infra.slurm.autoscaler"),
            *("--pools", str(self.folder / "pools.yaml"), "--logs", logs),
        )

    def prefect(self, *arguments: str) -> None:
        """Call Prefect's command line.

        Raises:
            CalledProcessError: when it fails.
        """
        command = [PREFECT, "--no-prompt", *arguments]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True, capture_output=True, timeout=PATIENCE)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Answer of the server's API to a POST request, or to a GET request without a body."""
        token = base64.b64encode(self.environment["PREFECT_API_AUTH_STRING"].encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.environment['PREFECT_API_URL']}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        """Whether the server answers."""
        try:
            return bool(self.ask("health"))
        except OSError:
            return False


@contextlib.contextmanager
def site(folder: Path, cluster: Cluster) -> Iterator[Site]:
    """Start everything; stop it at the end, the server last."""
    made = Site(folder, cluster.environment)
    (folder / "pools.yaml").write_text(POOLS)
    port = made.environment["PREFECT_API_URL"].rpartition(":")[2].removesuffix("/api")
    try:
        made.start("server", PREFECT, "server", "start", "--host", "127.0.0.1", "--port", port)
        wait(made.answers, "the server did not answer", PATIENCE)
        deploy = [sys.executable, "-m", "infra.deploy", "slurm"]
        subprocess.run(deploy, cwd=ROOT, env=made.environment, check=True, capture_output=True, timeout=PATIENCE)
        made.start("orchestrator", PREFECT, "worker", "start", "--pool", "orchestrator", "--limit", "4")
        made.start_autoscaler()
        yield made
    finally:
        made.stop_all()
