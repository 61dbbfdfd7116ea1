"""Postgres from Debian's packages, on 127.0.0.1 and with a password."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.slurm.cluster import wait

PROGRAMS = ("initdb", "postgres", "pg_isready", "createdb", "pg_dump")
USER = "postgres"
"""Postgres refuses root; this user comes with Debian's package."""
NAME = "prefect"
"""Of the database and of its owner, as in the compose file."""


def program(name: str) -> str | None:
    """Path of one of Postgres' programs; Debian keeps most of them out of PATH."""
    folders = sorted(str(folder) for folder in Path("/usr/lib/postgresql").glob("*/bin"))
    return shutil.which(name, path=os.pathsep.join([*reversed(folders), os.environ.get("PATH", "")]))


def missing() -> str | None:
    """Why there can be no Postgres here; None if there can."""
    absent = [name for name in PROGRAMS if program(name) is None]
    return f"without {', '.join(absent)} (Debian: apt-get install postgresql)" if absent else None


@dataclass(frozen=True)
class Database:
    """An empty database, made by :func:`postgres`."""

    port: int
    password: str

    def dump(self) -> str:
        """Everything that is in it, as SQL."""
        options = ["--host=127.0.0.1", f"--port={self.port}", f"--username={NAME}", "--inserts", NAME]
        return subprocess.run(
            [str(program("pg_dump")), *options],
            env=os.environ | {"PGPASSWORD": self.password},
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout


@contextlib.contextmanager
def postgres(port: int, password: str) -> Iterator[Database]:
    """Start a server with an empty database; stop it at the end.

    Raises:
        TimeoutError: when it does not answer.
    """
    user = USER if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="asteroid-postgres-") as text:
        folder = Path(text)
        secret = folder / "password"
        secret.touch(0o600)
        secret.write_text(password)
        if user:
            shutil.chown(folder, user)
            shutil.chown(secret, user)
        data = folder / "data"
        access = ["--auth=scram-sha-256", f"--username={NAME}", f"--pwfile={secret}"]
        subprocess.run(
            [str(program("initdb")), f"--pgdata={data}", "--encoding=UTF8", "--no-sync", *access],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        secret.unlink()
        server = subprocess.Popen(
            [str(program("postgres")), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)],
            user=user,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            address = ["--host=127.0.0.1", f"--port={port}"]
            ready = [str(program("pg_isready")), "--quiet", *address]
            wait(lambda: subprocess.run(ready).returncode == 0, "Postgres did not answer")
            make = [str(program("createdb")), *address, f"--username={NAME}", NAME]
            subprocess.run(make, env=os.environ | {"PGPASSWORD": password}, check=True, capture_output=True)
            yield Database(port, password)
        finally:
            # A fast shutdown, which does not wait for clients.
            server.send_signal(signal.SIGINT)
            server.wait(60)
