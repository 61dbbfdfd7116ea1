"""The certificate's lines in groups, each with the line that decides it: what fits on a first screen.

:mod:`asteroid.report.verdict` and :mod:`asteroid.report.answer_plots` speak of groups; the certificate's table has
every line.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Group:
    """Lines of the certificate that belong together.

    Args:
        passed: None where none of them was checked.
        worst: the line that is nearest to its threshold, or farthest beyond it; a failed one before all.
        closeness: of that line, see :func:`closeness`.
    """

    name: str
    passed: bool | None
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
    """Whether a line of the certificate says anything; certificates of earlier versions checked all of theirs."""
    return bool(line.get("checked", True))


def closeness(line: Mapping[str, Any]) -> float:
    """What was found over what was asked for: up to 1 passes, endless where nothing could be measured.

    >>> closeness({"value": 0.02, "threshold": 0.08, "comparison": "<="})
    0.25
    >>> closeness({"value": 0.5, "threshold": 1.0, "comparison": ">="})
    2.0
    """
    value, threshold = line["value"], line["threshold"]
    if value is None:
        return math.inf
    found, asked = (value, threshold) if line["comparison"] == "<=" else (threshold, value)
    if asked > 0:
        return float(found / asked)
    return 0.0 if found <= asked else math.inf


def _group(name: str, lines: list[Mapping[str, Any]]) -> Group:
    checked = [line for line in lines if is_checked(line)]
    worst = max(checked or lines, key=lambda line: (not line["passed"], closeness(line)))
    passed = all(line["passed"] for line in checked) if checked else None
    return Group(name, passed, worst, closeness(worst))
