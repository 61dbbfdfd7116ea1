"""One requirement of a certificate: what was measured against what was asked for.

Lines are made in :mod:`asteroid.validation.certificate` and :mod:`asteroid.validation.evidence`.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

NO_FORCES: Final = "the accurate labels are energies alone"

ON_POLICY: Final = "Force MAE on the model's own MD"
SURVIVED: Final = "Trajectories that survived"
TORSIONS: Final = "Error of torsion energies"
MINIMUM: Final = (
    "Accurate force at the model's minimum",
    "Distance to the accurate minimum",
    "Imaginary modes at the model's minimum",
)
"""Names of requirements that say where a model failed: the loop of rounds goes there."""


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
