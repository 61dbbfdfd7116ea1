"""One finding of the doctor."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found, and what to do about it.

    Args:
        advice: None where there is nothing to do.
    """

    name: str
    status: Status
    found: str
    advice: str | None = None


def skipped(name: str, package: str, extra: str) -> Check:
    """A check that needs a package of another extra."""
    return Check(
        name, "skipped", f"{package} is not installed", f"to use it: pip install 'asteroid-forcefields[{extra}]'"
    )
