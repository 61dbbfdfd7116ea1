"""Harmonic frequencies of the model compared with those of the accurate level.

:mod:`asteroid.stages.hessians` makes the accurate Hessian. Modes are matched by their overlap, because close
frequencies may have another order.
"""

from dataclasses import dataclass

import numpy as np

from asteroid.chemistry.vibrations import NormalModes, normal_modes
from asteroid.configuration import Configuration
from asteroid.store.records import Floats, Ints
from asteroid.validation.minimum import rotation_onto

Curved = tuple[Configuration, Floats]
"""A minimum and its Hessian, (3N, 3N) eV/Å²."""


@dataclass(frozen=True, eq=False)
class Frequencies:
    """Harmonic frequencies of both levels, each at its own minimum; imaginary ones are negative.

    Args:
        accurate: (M,) cm⁻¹, ascending.
        model: (M,) cm⁻¹, of the matching modes.
        overlaps: (M,) 0 to 1, of the matched modes.
        mean, worst: cm⁻¹, mean and largest absolute deviation.
        labels: number of accurate labels for the Hessian; 0 for an analytic one.
    """

    accurate: Floats
    model: Floats
    overlaps: Floats
    mean: float
    worst: float
    labels: int


@dataclass(frozen=True, eq=False)
class MatchedModes:
    """Normal modes of two minima, and which belong together.

    Args:
        rows, columns: (M,) indices of matched modes, of ``accurate`` and of ``model``; ``rows`` ascend.
        overlaps: (M,) 0 to 1.
    """

    model: NormalModes
    accurate: NormalModes
    rows: Ints
    columns: Ints
    overlaps: Floats


def match_modes(model: Curved, accurate: Curved) -> MatchedModes:
    """Match the normal modes of two minima by overlap."""
    from scipy.optimize import linear_sum_assignment

    modes, reference = normal_modes(*model), normal_modes(*accurate)
    rotation = rotation_onto(model[0], accurate[0])
    ours = (modes.vectors @ rotation).reshape(len(modes.frequencies), -1)
    theirs = reference.vectors.reshape(len(reference.frequencies), -1)
    # A molecule that is linear at one level only has different numbers of modes; the surplus mode stays unmatched.
    overlaps = np.abs(theirs @ ours.T)
    rows, columns = linear_sum_assignment(-(overlaps**2))
    return MatchedModes(modes, reference, rows, columns, overlaps[rows, columns])


def compare_frequencies(model: Curved, accurate: Curved, *, labels: int = 0) -> Frequencies:
    """Compare the frequencies of the matched modes of two minima.

    Args:
        labels: number of accurate labels for the accurate Hessian.
    """
    found = match_modes(model, accurate)
    ours, theirs = found.model.wavenumbers[found.columns], found.accurate.wavenumbers[found.rows]
    deviations = np.abs(ours - theirs)
    return Frequencies(
        accurate=theirs,
        model=ours,
        overlaps=found.overlaps,
        mean=float(deviations.mean()),
        worst=float(deviations.max()),
        labels=labels,
    )
