"""Processes of ``make up``: each is a session of its own, whose id is stored in ``.asteroid/pids``."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
STATE = Path(os.environ.get("ASTEROID_STATE") or HOME / ".asteroid").resolve()
PIDS = STATE / "pids"


def start(name: str, command: list[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a process as a new session, so that it can be stopped with all its children."""
    with (STATE / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=HOME,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    PIDS.mkdir(exist_ok=True)
    # Older sessions stay in the file: flow runs of a dead worker may still be running in them.
    with (PIDS / name).open("a") as file:
        file.write(f"{process.pid}\n")
    return process


def names() -> list[str]:
    """Names of all processes that were started and not stopped."""
    return sorted(path.name for path in PIDS.glob("*"))


def sessions(name: str) -> list[int]:
    """Session ids of a process, the newest last."""
    try:
        return [int(line) for line in (PIDS / name).read_text().split()]
    except FileNotFoundError:
        return []


def is_running(name: str) -> bool:
    """Whether the newest session of a process is running."""
    known = sessions(name)
    # One process alone: the supervisor asks for each service every second.
    return bool(known) and _is_member(Path("/proc", str(known[-1])), known[-1])


def stop(name: str) -> None:
    """Terminate all processes of its sessions; kill them after ten seconds."""
    for session in sessions(name):
        for wanted, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            deadline = time.monotonic() + patience
            asked: set[int] = set()
            while members := _members(session):
                for pid in members - asked:
                    asked.add(pid)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, wanted)
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
    (PIDS / name).unlink(missing_ok=True)


def _members(session: int) -> set[int]:
    """Living processes of a session."""
    return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _is_member(entry, session)}


def _is_member(entry: Path, session: int) -> bool:
    """Whether a process lives, is of a session, and its command line names this folder or its interpreter: session ids
    are reused."""
    try:
        # Field 6 of stat is the session; the name before it, in parentheses, may contain spaces.
        state, _, _, found = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        if int(found) != session or state == "Z":
            return False
        command = (entry / "cmdline").read_text()
    except OSError:
        return False
    return "prefect" in command or str(HOME) in command or sys.executable in command
