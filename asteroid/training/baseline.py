"""The zero of a model's energies: free atoms at the accurate level, or a substitute.

Without torch, because names of models depend on it. :mod:`asteroid.stages.atoms` computes the atoms,
:func:`asteroid.training.dataset.fit_reference_energies` fits the residual mean energy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asteroid.configuration import SYMBOLS
from asteroid.levels import LevelOfTheory
from asteroid.store import Store

STAND_IN: Final = "pbe0/def2-tzvp"
"""Level of :data:`STAND_IN_ATOMS`."""

# fmt: off
STAND_IN_ATOMS: Final = dict(zip(SYMBOLS[1:21], (
    -13.634, -78.725, -203.189, -398.252, -669.897, -1028.737, -1484.213, -2041.360, -2712.327, -3506.580,
    -4413.017, -5441.210, -6591.930, -7870.878, -9282.758, -10829.416, -12517.167, -14350.516, -16319.726,
    -18432.336,
), strict=True))
# fmt: on
"""eV, for levels without own atoms: energies of other all-electron methods differ by a few eV, which the fitted shift
absorbs."""

MOST_BINDING: Final = 20.0
"""eV per atom, larger than any binding energy and error of a level: beyond it, the labels have another zero (for
example relative to a minimum) or another core."""


@dataclass(frozen=True)
class Baseline:
    """Energies of free atoms, eV by atomic number, and their source, in words for the card."""

    atoms: Mapping[int, float] = field(default_factory=dict)
    source: str = "none: the mean energy per atom alone"

    @property
    def key(self) -> dict[str, Any]:
        """The energies as JSON, for the name of a model."""
        return {SYMBOLS[number]: energy for number, energy in sorted(self.atoms.items())}

    def __sub__(self, other: "Baseline") -> "Baseline":
        """Baseline of the difference of two levels."""
        if not self.atoms or not other.atoms:
            return Baseline()
        atoms = {number: energy - other.atoms[number] for number, energy in self.atoms.items()}
        return Baseline(atoms, f"{self.source} minus {other.source}")


def stored_atoms(store: Store, level: LevelOfTheory, elements: Iterable[int]) -> dict[str, float | None]:
    """Energies (eV) of the stored free atoms at a level, by element; None for an atom that failed."""
    atoms = store.atoms(level)
    symbols = [SYMBOLS[z] for z in sorted({int(z) for z in elements})]
    return {symbol: atoms[symbol].energy for symbol in symbols if symbol in atoms}


def read_baseline(store: Store, level: LevelOfTheory, elements: Iterable[int]) -> Baseline:
    """Free atoms at a level if the store has them all, or else those of :data:`STAND_IN`.

    There is no substitute for GFN methods, which have no core electrons.
    """
    wanted = sorted({int(z) for z in elements})
    known = {symbol: energy for symbol, energy in stored_atoms(store, level, wanted).items() if energy is not None}
    if len(known) == len(wanted):
        return Baseline({z: known[SYMBOLS[z]] for z in wanted}, f"free atoms at {level}")
    if not level.is_semiempirical and all(SYMBOLS[z] in STAND_IN_ATOMS for z in wanted):
        return Baseline(
            {z: STAND_IN_ATOMS[SYMBOLS[z]] for z in wanted}, f"free atoms at {STAND_IN}, in place of {level}"
        )
    return Baseline()


def checked(baseline: Baseline, numbers: Iterable[npt.NDArray[np.int64]], energies: Iterable[float]) -> Baseline:
    """The baseline, or an empty one where the labels relative to it cannot be binding energies.

    Args:
        numbers, energies: atomic numbers (N,) and energy (eV) of each label.
    """
    bindings = [
        (energy - sum(baseline.atoms.get(int(z), 0.0) for z in atoms)) / len(atoms)
        for atoms, energy in zip(numbers, energies, strict=True)
    ]
    return baseline if abs(float(np.mean(bindings))) <= MOST_BINDING else Baseline()
