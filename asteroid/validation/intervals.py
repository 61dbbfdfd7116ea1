"""Confidence intervals for few frames and few trajectories.

A certificate compares confidence bounds with thresholds, so the bounds must hold for small samples, where a bootstrap
is too narrow. Mean errors have Student's interval on a logarithmic scale, surviving parts the exact binomial interval.
Used by :mod:`asteroid.validation.errors`, ``certificate`` and ``evidence``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.store.records import Upper

Floats = npt.NDArray[np.float64]

ERROR = 0.05
"""Largest probability that a model which misses a threshold passes the line."""

MOST = 50
"""Largest suggested increase of the number of frames."""


@dataclass(frozen=True)
class Estimate:
    """A positive value and its two-sided 95% confidence interval.

    Args:
        spread: standard error of the logarithm of the value.
        degrees: degrees of freedom: independent frames or trajectories, minus one. With 0, the interval is 0 to
            infinity. Certificates of version 0.1 have neither.
    """

    value: float
    low: float
    high: Upper
    spread: float = 0.0
    degrees: int = 0

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper bound with this one-sided confidence."""
        return _bounds(self.value, self.spread, self.degrees, confidence)

    def root(self) -> "Estimate":
        """Estimate of the square root of the value."""
        return _estimate(self.value**0.5, self.spread / 2, self.degrees)


def estimate_mean(sums: npt.ArrayLike, counts: npt.ArrayLike, groups: Sequence[str] | None = None) -> Estimate:
    """Mean of a positive quantity, from its sum and count in each of M frames.

    Student's interval of the logarithm, by first-order error propagation: errors are skewed to the right, and on a
    linear scale the upper end would hold in 88 to 92% of cases instead of 95%. Frames of a group are correlated, so the
    wider of the intervals over frames and over groups is taken.

    Args:
        sums, counts: (M,)
        groups: M names of trajectories; None if all frames are independent.

    >>> found = estimate_mean([0.8, 1.0, 1.2], [1, 1, 1])
    >>> round(found.value, 6), round(found.low, 3), round(found.high, 3)
    (1.0, 0.608, 1.643)
    """
    sums, counts = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    value = float(sums.sum() / counts.sum())
    if not value:
        # An exact model, as in tests.
        return Estimate(0.0, 0.0, 0.0, 0.0, len(sums) - 1)
    deviations: Floats = (sums - value * counts) / (value * counts.sum())
    return _widest(value, deviations, groups)


def estimate_ratio(above: npt.ArrayLike, below: npt.ArrayLike, groups: Sequence[str] | None = None) -> Estimate:
    """Ratio of two sums over the same M frames, paired by frame.

    Args:
        above, below: (M,) positive.
        groups: see :func:`estimate_mean`.
    """
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    # Avoid division by zero for an exact model.
    tiny = float(np.finfo(np.float64).tiny)
    over, under = max(float(above.sum()), tiny), max(float(below.sum()), tiny)
    return _widest(over / under, above / over - below / under, groups)


def confidence_of_look(look: int) -> float:
    """One-sided confidence of bounds when the same frames are used for the ``look``-th certificate, counted from 1.

    Repeated tests on the same frames must not let a model pass by chance. The k-th look has an error probability of
    :data:`ERROR` / 2^k, so all looks together have at most :data:`ERROR`. The first bound is the end of an ordinary
    two-sided 95% interval.

    >>> [confidence_of_look(look) for look in (1, 2, 3)]
    [0.975, 0.9875, 0.99375]
    """
    return 1 - ERROR * 0.5**look


def proportion_bounds(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Lower and upper bound of a probability with one-sided confidence (Clopper and Pearson,
    doi:10.1093/biomet/26.4.404).

    >>> [round(bound, 3) for bound in proportion_bounds(30, 30, 0.95)]
    [0.905, 1.0]
    """
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(2 * confidence - 1, method="exact")
    return float(interval.low), float(interval.high)


def trials_needed(failures: int, threshold: float, confidence: float) -> int:
    """Smallest number of trials with this many failures whose lower bound of success reaches the threshold.

    >>> trials_needed(0, 0.9, 0.95), trials_needed(1, 0.9, 0.95)
    (29, 46)
    """
    from scipy.stats import binom

    trials = failures + 1
    # The lower bound of Clopper and Pearson is below the threshold.
    while binom.cdf(failures, trials, 1 - threshold) > 1 - confidence:
        trials += 1
    return trials


def frames_needed(estimate: Estimate, frames: int, threshold: float, confidence: float) -> int | None:
    """Number of frames that would bring the upper bound below the threshold, for the same value and scatter.

    Args:
        estimate: over ``frames`` frames.
        confidence: one-sided, of the bound.

    Returns:
        None if the value is above the threshold, or if more than :data:`MOST` times as many would be needed.
    """
    room = math.log(threshold / estimate.value) if estimate.value else math.inf
    if room <= 0 or estimate.degrees < 1:
        return None
    units = estimate.degrees + 1
    # Scatter of one independent frame or trajectory.
    scatter = estimate.spread * units**0.5
    wanted = 2
    while quantile(confidence, wanted - 1) * scatter / wanted**0.5 > room:
        wanted += 1 + wanted // 50
        if wanted > MOST * units:
            return None
    return math.ceil(frames * wanted / units)


def quantile(confidence: float, degrees: float) -> float:
    """Quantile of Student's t distribution."""
    from scipy.stats import t

    return float(t.ppf(confidence, degrees))


def _widest(value: float, deviations: Floats, groups: Sequence[str] | None) -> Estimate:
    """The estimate over frames or over groups with the wider interval.

    Args:
        deviations: (M,) contributions to the relative error of the value; their sum is 0.
    """
    found = _estimate(value, *_spread(deviations))
    if groups is None:
        return found
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    sums: Floats = np.bincount(index, weights=deviations, minlength=len(names)).astype(np.float64)
    grouped = _estimate(value, *_spread(sums))
    return max(found, grouped, key=lambda estimate: estimate.high)


def _spread(deviations: Floats) -> tuple[float, int]:
    count = len(deviations)
    if count < 2:
        return 0.0, 0
    return float(np.sqrt(count / (count - 1) * np.square(deviations).sum())), count - 1


def _estimate(value: float, spread: float, degrees: int) -> Estimate:
    return Estimate(value, *_bounds(value, spread, degrees, 0.975), spread, degrees)


def _bounds(value: float, spread: float, degrees: int, confidence: float) -> tuple[float, float]:
    if not value:
        return value, value
    if degrees < 1:
        return 0.0, math.inf
    # Avoid overflow for a huge scatter.
    factor = math.exp(min(quantile(confidence, degrees) * spread, 700.0))
    return value / factor, value * factor
