"""Processes of this machine by a variable of their environment."""

from pathlib import Path


def processes_with(variable: str) -> list[int]:
    """Ids of living processes that have ``NAME=VALUE`` in their environment."""
    wanted, found = variable.encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def variable_of(pid: int, name: str) -> str | None:
    """Value of a variable in a process's environment; None without it, or when the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return next((line.partition("=")[2] for line in lines if line.startswith(f"{name}=")), None)


def command_of(pid: int) -> str:
    """Command line of a process; "" when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
