"""Residual error of a correction as a function of its number of labels, measured on few frames.

A kernel of the difference of two levels is fitted to parts of the frames and tested on the others; a power law
extrapolates the errors to more labels. Called by :mod:`asteroid.stages.pilot`, and between rounds by
:mod:`asteroid.stages.level_shares`. Only :func:`residual_errors` needs torch.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from asteroid.acquisition.stopping import LearningCurve, fit_curve
from asteroid.errors import TrainingError

if TYPE_CHECKING:
    from asteroid.training.dataset import LabelledFrame

DRAWS = 8
"""Number of random parts of each size to average over."""

USUAL = 0.7
"""Usual exponent for molecules with 5 to 15 atoms. A dozen frames are too few to measure it: for ethanol, GFN2 to MP2,
12 frames give 0.42 or 0.62, and up to 60 labels 0.73."""

NO_ERROR = 1e-9
"""eV/Å, smallest error in a fit: two names may stand for the same level."""

EXPONENTS = (0.2, 1.5)
"""Limits of a measured exponent."""


def residual_errors(
    pairs: Sequence["LabelledFrame"], permutations: Sequence[tuple[int, ...]]
) -> list[tuple[int, float]]:
    """Mean absolute force errors, eV/Å, of kernels fitted to parts of the frames, on the others: (labels, error).

    Args:
        pairs: differences of two levels, with forces; at least six.
        permutations: of equal atoms.

    Returns:
        An empty list when no kernel can be fitted.
    """
    try:
        return _residual_errors(pairs, permutations, np.random.default_rng(0))
    except (TrainingError, np.linalg.LinAlgError):
        return []


def _residual_errors(
    pairs: Sequence["LabelledFrame"], permutations: Sequence[tuple[int, ...]], rng: np.random.Generator
) -> list[tuple[int, float]]:
    from asteroid.training.kernel import KernelModel

    everything = KernelModel(pairs, permutations)
    found = []
    for size in sorted({len(pairs) // 3, len(pairs) // 2, 2 * len(pairs) // 3}):
        errors = []
        for _ in range(DRAWS):
            order = rng.permutation(len(pairs)).tolist()
            known, tested = ([pairs[i] for i in part] for part in (order[:size], order[size:]))
            model = KernelModel(known, permutations, everything.hyperparameters)
            forces = model.predict([pair.configuration for pair in tested])[1]
            errors += [
                float(np.abs(force - pair.forces).mean())
                for force, pair in zip(forces, tested, strict=True)
                if pair.forces is not None
            ]
        found.append((size, float(np.mean(errors))))
    return [*found, (len(pairs) - 1, everything.left_out_error)]


def fit_errors(points: Sequence[tuple[int, float]]) -> LearningCurve:
    """Power law of the errors; its exponent is the mean of the measured and the usual one.

    >>> law = fit_errors([(4, 0.5 * 4**-0.9), (11, 0.5 * 11**-0.9)])
    >>> round(law.exponent, 3), round(law.error(11) / (0.5 * 11**-0.9), 3)
    (0.8, 1.0)
    """
    labels = [count for count, _ in points]
    errors = [max(error, NO_ERROR) for _, error in points]
    exponent = (float(np.clip(fit_curve(labels, errors).exponent, *EXPONENTS)) + USUAL) / 2
    # Through the point with most labels, which is closest to the numbers needed.
    return LearningCurve(errors[-1] * labels[-1] ** exponent, exponent)


def corrected_law(law: LearningCurve, part: float) -> LearningCurve:
    """The error as a function of all labels, of which only a part trains: held-out ones fit no correction."""
    return LearningCurve(law.factor * part**-law.exponent, law.exponent)
