"""Difference of the forces of two levels on common frames: by element, by energy, and by a common factor.

Used by :mod:`asteroid.training.diagnostics`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asteroid.configuration import SYMBOLS
from asteroid.levels import LevelOfTheory
from asteroid.store import Store

Floats = npt.NDArray[np.float64]

ENERGY_BINS = 5
"""Number of bins of accurate energies, with equal numbers of frames."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A frame with forces from both levels.

    Args:
        numbers: (N,) atomic numbers.
        cheap, accurate: (N, 3) eV/Å.
        energy: eV, accurate and total; None where unknown.
    """

    frame_id: str
    numbers: npt.NDArray[np.int64]
    cheap: Floats
    accurate: Floats
    energy: float | None

    @property
    def bias(self) -> float:
        """Mean absolute difference of the 3N force components, eV/Å."""
        return float(np.abs(self.cheap - self.accurate).mean())


def read_pairs(store: Store, molecule: str, cheap: LevelOfTheory, accurate: LevelOfTheory) -> list[Pair]:
    """Every frame that has forces from both levels, sorted by id."""
    below, above = store.labels(molecule, cheap), store.labels(molecule, accurate)
    numbers = {f.frame_id: f.configuration.numbers for f in store.frames(molecule, ids=below.keys() & above.keys())}
    pairs = []
    for frame_id in sorted(numbers):
        lower, upper = below[frame_id].forces, above[frame_id].forces
        if lower is not None and upper is not None:
            pairs.append(Pair(frame_id, numbers[frame_id], lower, upper, above[frame_id].energy))
    return pairs


def describe_disagreement(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Difference of the forces of two levels as JSON; errors in eV/Å."""
    cheap, accurate = [pair.cheap for pair in pairs], [pair.accurate for pair in pairs]
    below, above = np.concatenate(cheap), np.concatenate(accurate)
    return {
        "frames": len(pairs),
        "force_mae": float(np.abs(below - above).mean()),
        "force_rmse": float(np.sqrt(np.square(below - above).mean())),
        "elements": force_disagreement_by_element([pair.numbers for pair in pairs], cheap, accurate),
        "energies": _by_energy(pairs),
        "scale": global_scale(below, above),
    }


def _by_energy(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Mean bias in bins of the accurate energy relative to the lowest, in eV/Å and eV."""
    known = sorted((pair.energy, pair.bias) for pair in pairs if pair.energy is not None)
    if len(known) < 2 * ENERGY_BINS:
        return []
    energies, bias = np.array(known).T
    parts = np.array_split(np.arange(len(known)), ENERGY_BINS)
    lowest = energies[0]
    return [
        {
            "low": float(energies[part[0]] - lowest),
            "high": float(energies[part[-1]] - lowest),
            "frames": len(part),
            "force_mae": float(bias[part].mean()),
        }
        for part in parts
    ]


def force_disagreement_by_element(
    numbers: Sequence[npt.NDArray[np.int64]], cheap: Sequence[Floats], accurate: Sequence[Floats]
) -> list[dict[str, Any]]:
    """Per element, lightest first: atoms, mean |F_cheap − F_accurate| and mean |F_accurate| of a component (eV/Å).

    >>> two = [np.array([8, 1])]
    >>> force_disagreement_by_element(two, [np.array([[3.0, 0, 0], [0, 0, 0]])], [np.zeros((2, 3))])
    [{'symbol': 'H', 'atoms': 1, 'mae': 0.0, 'force': 0.0}, {'symbol': 'O', 'atoms': 1, 'mae': 1.0, 'force': 0.0}]
    """
    elements, below, above = (np.concatenate(list(parts)) for parts in (numbers, cheap, accurate))
    rows = []
    for number in np.unique(elements):
        of = elements == number
        rows.append(
            {
                "symbol": SYMBOLS[number],
                "atoms": int(of.sum()),
                "mae": float(np.abs(below[of] - above[of]).mean()),
                "force": float(np.abs(above[of]).mean()),
            }
        )
    return rows


def global_scale(cheap: Floats, accurate: Floats) -> dict[str, float] | None:
    """Least-squares factor s of s·F_cheap ≈ F_accurate, and the fraction of the squared difference that it explains.

    If that is near 1, the cheap forces are the accurate ones except for a factor.

    >>> global_scale(np.array([1.0, -2.0]), np.array([1.1, -2.2]))["explained"] > 0.999
    True
    """
    size, total = float(np.vdot(cheap, cheap)), float(np.square(cheap - accurate).sum())
    if size == 0 or total == 0:
        return None
    factor = float(np.vdot(cheap, accurate)) / size
    return {"factor": factor, "explained": 1 - float(np.square(factor * cheap - accurate).sum()) / total}
