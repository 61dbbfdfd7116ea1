"""One requirement of a certificate: what was measured against what was asked for.

Lines are made in :mod:`asteroid.validation.certificate` and :mod:`asteroid.validation.evidence`.
"""

import math
from dataclasses import dataclass
from typing import Literal

NO_FORCES = "the accurate labels are energies alone"


@dataclass(frozen=True)
class Line:
    """One requirement: ``value comparison threshold``; a value of None could not be measured and does not pass.

    Args:
        checked: False where the labels that were asked for cannot tell; such a line says nothing about the model.
    """

    name: str
    value: float | None
    unit: str
    threshold: float
    comparison: Literal["<=", ">="]
    note: str = ""
    checked: bool = True

    @property
    def passed(self) -> bool:
        if self.value is None or not math.isfinite(self.value):
            return False
        return self.value <= self.threshold if self.comparison == "<=" else self.value >= self.threshold
