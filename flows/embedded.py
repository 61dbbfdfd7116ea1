"""A temporary Prefect server for one run without a server, which ends with the process that started it.

Prefect's own ephemeral server outlives a parent that is killed; this one does not, and leaves no database behind.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from asteroid.errors import AsteroidError
from asteroid.processes import die_with_parent

START_SECONDS = 120.0


@contextmanager
def temporary_server() -> Iterator[str]:
    """Start a server on a free port of 127.0.0.1 with an empty database, and yield its API's URL.

    Raises:
        AsteroidError: when it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="asteroid-prefect-", ignore_cleanup_errors=True) as home:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # None of the user's own Prefect settings: this server lives for one run.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        environment |= {
            "PREFECT_HOME": home,
            "PREFECT_PROFILES_PATH": f"{home}/profiles.toml",
            "PREFECT_UI_ENABLED": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(port)], env=environment, stdin=subprocess.DEVNULL
        )
        try:
            url = f"http://127.0.0.1:{port}/api"
            _wait(process, f"{url}/health")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: "subprocess.Popen[bytes]", health: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AsteroidError(f"the temporary Prefect server ended with exit code {process.returncode}")
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AsteroidError(f"the temporary Prefect server did not answer within {START_SECONDS:.0f} s")


def main() -> None:
    """Serve until terminated or until the parent is gone."""
    die_with_parent()
    import uvicorn
    from prefect.server.api.server import create_app

    uvicorn.run(create_app(ephemeral=True), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()
