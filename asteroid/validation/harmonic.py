"""Harmonic frequencies at the accurate level, from labels around the accurate minimum, against the model's.

The labels are asked for and put together in :mod:`asteroid.stages.hessians`. Modes are compared with the mode that they
resemble, not with the one of the same rank: two modes that are close may stand in another order.
"""

from dataclasses import dataclass

import numpy as np

from asteroid.chemistry.vibrations import normal_modes
from asteroid.configuration import Configuration
from asteroid.store.records import Floats
from asteroid.validation.minimum import rotation_onto


@dataclass(frozen=True, eq=False)
class Frequencies:
    """Harmonic frequencies of both levels, each at its own minimum, mode by mode; imaginary ones are negative.

    Args:
        accurate: (M,) cm⁻¹, ascending.
        model: (M,) cm⁻¹, of the mode that resembles each most.
        overlaps: (M,) 0 to 1: how much of the one motion is the other.
        mean, worst: cm⁻¹, of the absolute deviations.
        labels: accurate labels that the Hessian took; 0 for an analytic one.
    """

    accurate: Floats
    model: Floats
    overlaps: Floats
    mean: float
    worst: float
    labels: int


def compare_frequencies(
    model: tuple[Configuration, Floats], accurate: tuple[Configuration, Floats], *, labels: int = 0
) -> Frequencies:
    """Compare the modes of two minima.

    Args:
        model, accurate: a minimum and its Hessian, (3N, 3N) eV/Å².
        labels: accurate labels that the accurate Hessian took.
    """
    from scipy.optimize import linear_sum_assignment

    modes, reference = normal_modes(*model), normal_modes(*accurate)
    rotation = rotation_onto(model[0], accurate[0])
    ours = (modes.vectors @ rotation).reshape(len(modes.frequencies), -1)
    theirs = reference.vectors.reshape(len(reference.frequencies), -1)
    # Linear by one level and bent by the other, a molecule has not as many modes at both; only pairs are compared.
    overlaps = np.abs(theirs @ ours.T)
    rows, columns = linear_sum_assignment(-(overlaps**2))
    deviations = np.abs(modes.wavenumbers[columns] - reference.wavenumbers[rows])
    return Frequencies(
        accurate=reference.wavenumbers[rows],
        model=modes.wavenumbers[columns],
        overlaps=overlaps[rows, columns],
        mean=float(deviations.mean()),
        worst=float(deviations.max()),
        labels=labels,
    )
