"""The certificate's lines in groups, each with the line that decides it: what fits on a first screen.

:mod:`asteroid.report.verdict` and :mod:`asteroid.report.answer_plots` speak of groups; the certificate's table has
every line.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asteroid.validation.line import OPEN, State

_WORDS = (
    ("On its own MD", ("own md",)),
    ("Torsions", ("torsion",)),
    ("Distributions in MD", ("bond", "angle")),
    ("Vibrations", ("frequenc",)),
    ("Minimum", ("minimum",)),
    ("Stability in MD", ("nve", "trajector")),
    ("Held-out frames", ("mae",)),
)
"""Group, and what its lines have in their names; the first that fits."""

_ORDER = (
    *("Held-out frames", "On its own MD", "Stability in MD", "Minimum", "Vibrations"),
    *("Torsions", "Distributions in MD", "Others"),
)


_SEVERITY: dict[State, int] = {"not checked": 0, "passed": 1, OPEN: 2, "failed": 3}


@dataclass(frozen=True)
class Group:
    """Lines of the certificate that belong together.

    Args:
        state: failed where one line is, passed where all that were checked are.
        worst: the line that is nearest to its threshold, or farthest beyond it; a failed one before all.
        closeness: of that line, see :func:`closeness`.
    """

    name: str
    state: State
    worst: Mapping[str, Any]
    closeness: float


def group_lines(certificate: Mapping[str, Any]) -> list[Group]:
    """The groups that a certificate has, those of the most important evidence first."""
    members: dict[str, list[Mapping[str, Any]]] = {name: [] for name in _ORDER}
    for line in certificate["lines"]:
        name = line["name"].lower()
        members[next((group for group, words in _WORDS if any(word in name for word in words)), "Others")].append(line)
    return [_group(name, lines) for name, lines in members.items() if lines]


def is_checked(line: Mapping[str, Any]) -> bool:
    """Whether a line of the certificate says anything."""
    return bool(line["checked"])


def line_state(line: Mapping[str, Any]) -> State:
    """What became of a line; those of version 0.1 knew neither bounds nor a want of evidence."""
    if not is_checked(line):
        return "not checked"
    state: State = line.get("state") or ("passed" if line["passed"] else "failed")
    return state


def certificate_state(certificate: Mapping[str, Any]) -> State:
    """The same of a whole certificate."""
    state: State = certificate.get("state") or ("passed" if certificate["passed"] else "failed")
    return state


def closeness(line: Mapping[str, Any]) -> float:
    """The bound over what was asked for: up to 1 passes, endless where nothing could be measured.

    >>> closeness({"value": 0.02, "threshold": 0.08, "comparison": "<="})
    0.25
    >>> closeness({"value": 0.5, "threshold": 1.0, "comparison": ">="})
    2.0
    """
    threshold = line["threshold"]
    value = line["bound"] if line.get("bound") is not None else line["value"]
    if value is None:
        return math.inf
    found, asked = (value, threshold) if line["comparison"] == "<=" else (threshold, value)
    if asked > 0:
        return float(found / asked)
    return 0.0 if found <= asked else math.inf


def _group(name: str, lines: list[Mapping[str, Any]]) -> Group:
    checked = [line for line in lines if is_checked(line)]
    worst = max(checked or lines, key=lambda line: (_SEVERITY[line_state(line)], closeness(line)))
    return Group(name, line_state(worst), worst, closeness(worst))
