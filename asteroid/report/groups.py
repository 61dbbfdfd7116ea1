"""Groups of certificate lines, each represented by its worst line, for the top of a report.

Used by :mod:`asteroid.report.verdict` and :mod:`asteroid.report.answer_plots`.
"""

import math
from dataclasses import dataclass

from asteroid.validation.certificate import Certificate
from asteroid.validation.line import OPEN, Line, State

_WORDS = (
    ("Model's own MD", ("own md",)),
    ("Torsions", ("torsion",)),
    ("Distributions in MD", ("bond", "angle", "fragments")),
    ("Vibrations", ("frequenc",)),
    ("Minimum", ("minimum",)),
    ("Stability in MD", ("nve", "trajector")),
    ("Held-out frames", ("",)),
)
"""Group, and words in the names of its lines; the first match counts."""

_ORDER = (
    *("Held-out frames", "Model's own MD", "Stability in MD", "Minimum", "Vibrations"),
    *("Torsions", "Distributions in MD"),
)

_SEVERITY: dict[State, int] = {"not checked": 0, "passed": 1, OPEN: 2, "failed": 3}


@dataclass(frozen=True)
class Group:
    """Related lines of a certificate.

    Args:
        state: of the worst line.
        worst: the line with the worst state, and with the largest closeness among those.
        closeness: of that line, see :func:`closeness`.
    """

    name: str
    state: State
    worst: Line
    closeness: float


def group_lines(certificate: Certificate) -> list[Group]:
    """The groups of a certificate, the most important first."""
    members: dict[str, list[Line]] = {name: [] for name in _ORDER}
    for line in certificate.lines:
        name = line.name.lower()
        members[next(group for group, words in _WORDS if any(word in name for word in words))].append(line)
    return [_group(name, lines) for name, lines in members.items() if lines]


def closeness(line: Line) -> float:
    """Ratio of bound and threshold: up to 1 passes; infinite without a measurement.

    >>> from asteroid.validation.line import make_line
    >>> closeness(make_line("Force MAE", 0.02, "eV/Å", 0.08, "<="))
    0.25
    >>> closeness(make_line("Trajectories that survived", 0.5, "", 1.0, ">="))
    2.0
    """
    threshold, value = line.threshold, line.value if line.bound is None else line.bound
    if value is None:
        return math.inf
    found, asked = (value, threshold) if line.comparison == "<=" else (threshold, value)
    if asked > 0:
        return float(found / asked)
    return 0.0 if found <= asked else math.inf


def _group(name: str, lines: list[Line]) -> Group:
    checked = [line for line in lines if line.checked]
    worst = max(checked or lines, key=lambda line: (_SEVERITY[line.state], closeness(line)))
    return Group(name, worst.state, worst, closeness(worst))
