"""The certificate's lines in groups, each with the line that decides it: what fits on a first screen.

:mod:`asteroid.report.verdict` and :mod:`asteroid.report.answer_plots` speak of groups; the certificate's table has
every line.
"""

import math
from dataclasses import dataclass

from asteroid.validation.certificate import Certificate
from asteroid.validation.line import OPEN, Line, State

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
    worst: Line
    closeness: float


def group_lines(certificate: Certificate) -> list[Group]:
    """The groups that a certificate has, those of the most important evidence first."""
    members: dict[str, list[Line]] = {name: [] for name in _ORDER}
    for line in certificate.lines:
        name = line.name.lower()
        members[next((group for group, words in _WORDS if any(word in name for word in words)), "Others")].append(line)
    return [_group(name, lines) for name, lines in members.items() if lines]


def closeness(line: Line) -> float:
    """The bound over what was asked for: up to 1 passes, endless where nothing could be measured.

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
