"""One finding of the doctor."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One check: name, status, finding and advice.

    Args:
        advice: what to do; None for nothing.
    """

    name: str
    status: Status
    found: str
    advice: str | None = None


def skipped(name: str, package: str, extra: str) -> Check:
    """A check that needs a missing package of an extra."""
    return Check(
        name, "skipped", f"{package} is not installed", f"to use it: pip install 'asteroid-forcefields[{extra}]'"
    )
