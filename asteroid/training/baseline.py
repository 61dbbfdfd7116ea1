"""The zero of a model's energies: free atoms at the accurate level, or the best that is known of them.

Torch-free: stages name models by it without loading any. :mod:`asteroid.stages.atoms` has the atoms computed,
:func:`asteroid.training.dataset.fit_reference_energies` fits what they leave.
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
"""eV. Where a level's own atoms are not known: those of all-electron methods differ from these by a few eV, which the
fitted shift takes up."""

MOST_BINDING: Final = 20.0
"""eV per atom. No molecule is bound by more, nor is any level's error as large: beyond it, the labels have another zero
(energies relative to a minimum, say), or their level another core."""


@dataclass(frozen=True)
class Baseline:
    """Energies of free atoms, eV by atomic number, and where they come from, in words for the card."""

    atoms: Mapping[int, float] = field(default_factory=dict)
    source: str = "none: the mean energy per atom alone"

    @property
    def key(self) -> dict[str, Any]:
        """What of it determines a model, as JSON."""
        return {SYMBOLS[number]: energy for number, energy in sorted(self.atoms.items())}

    def __sub__(self, other: "Baseline") -> "Baseline":
        """Of the difference of two levels."""
        if not self.atoms or not other.atoms:
            return Baseline()
        atoms = {number: energy - other.atoms[number] for number, energy in self.atoms.items()}
        return Baseline(atoms, f"{self.source} minus {other.source}")


def stored_atoms(store: Store, level: LevelOfTheory, elements: Iterable[int]) -> dict[str, float | None]:
    """Energies (eV) of the free atoms that the store has at a level, by element; None for one that did not converge."""
    records = store.atoms(level)
    symbols = [SYMBOLS[z] for z in sorted({int(z) for z in elements})]
    return {symbol: records[symbol]["energy"] for symbol in symbols if symbol in records}


def read_baseline(store: Store, level: LevelOfTheory, elements: Iterable[int]) -> Baseline:
    """Free atoms at a level, as far as the store has them all; else those of :data:`STAND_IN`, if they can be alike.

    GFN methods leave out the core, so nothing stands in for theirs.
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
    """The baseline, or none where labels that are relative to it would be no binding energies.

    Args:
        numbers, energies: atomic numbers (N,) and energy (eV) of each label.
    """
    bindings = [
        (energy - sum(baseline.atoms.get(int(z), 0.0) for z in atoms)) / len(atoms)
        for atoms, energy in zip(numbers, energies, strict=True)
    ]
    return baseline if abs(float(np.mean(bindings))) <= MOST_BINDING else Baseline()
