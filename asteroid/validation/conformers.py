"""Energies of a model's conformers: each conformer that sampling found, relaxed with the model.

:mod:`asteroid.stages.conformers` relaxes them; the report shows them beside the barriers of the torsion scans.
"""

from dataclasses import dataclass

from asteroid.configuration import Configuration
from asteroid.validation.minimum import aligned_rmsd

SAME = 0.05
"""Å, RMSD below which two conformers have relaxed to the same minimum."""


@dataclass(frozen=True)
class ConformerEnergy:
    """One conformer, relaxed at both levels.

    Args:
        frame_id: of the conformer at the cheap level.
        cheap: eV above the lowest at the cheap level; None without its label.
        model: eV above the model's minimum, relaxed with the model; None if that did not converge.
        same_as: index of an earlier conformer that relaxes to the same minimum of the model.
    """

    frame_id: str
    cheap: float | None
    model: float | None
    same_as: int | None = None


def index_of_same(relaxed: Configuration, earlier: list[Configuration | None]) -> int | None:
    """Index of the first of the earlier minima that is the same; None if there is none, or where it is None."""
    for index, other in enumerate(earlier):
        if other is not None and aligned_rmsd(relaxed, other) < SAME:
            return index
    return None
