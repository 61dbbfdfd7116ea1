"""How sure a measured quantity is: intervals that hold for few frames, few trajectories and short ones.

A requirement of a certificate is met when the bound of its interval meets the threshold, so the bounds must be sound
where evidence is scarce. Resampling a handful of frames is not: it cannot show what none of them has. Here means of
errors get Student's interval on a logarithmic scale, parts of trajectories the exact binomial one. Used by
:mod:`asteroid.validation.errors`, ``certificate`` and ``evidence``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.store.records import Upper

Floats = npt.NDArray[np.float64]

ERROR = 0.05
"""A model that misses a threshold passes its line with at most this probability."""

MOST = 50
"""How many times as many frames are named at most as what would suffice."""


@dataclass(frozen=True)
class Estimate:
    """A positive value and its two-sided 95% confidence interval.

    Args:
        spread: standard error of the logarithm of the value.
        degrees: of freedom of the spread: independent frames or trajectories, less one. Without any there is no
            interval: it reaches from 0 to infinity. Certificates of version 0.1 have neither.
    """

    value: float
    low: float
    high: Upper
    spread: float = 0.0
    degrees: int = 0

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper bound, each of which holds with this probability by itself."""
        return _bounds(self.value, self.spread, self.degrees, confidence)

    def root(self) -> "Estimate":
        """The same of the square root of the value."""
        return _estimate(self.value**0.5, self.spread / 2, self.degrees)


def estimate_mean(sums: npt.ArrayLike, counts: npt.ArrayLike, groups: Sequence[str] | None = None) -> Estimate:
    """Mean of a positive quantity whose sum and count over each of M frames are given.

    Student's interval of the logarithm (first-order error propagation): errors of frames are skewed to the right, and
    on the linear scale its upper end would hold in 88 to 92% of cases instead of 95. Frames of one group resemble each
    other. So the interval is that over frames or that over groups, whichever is wider.

    Args:
        sums, counts: (M,)
        groups: M names of trajectories; None where all frames are independent.

    >>> found = estimate_mean([0.8, 1.0, 1.2], [1, 1, 1])
    >>> round(found.value, 6), round(found.low, 3), round(found.high, 3)
    (1.0, 0.608, 1.643)
    """
    sums, counts = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    value = float(sums.sum() / counts.sum())
    if not value:
        # Exact, which outside a test no model is.
        return Estimate(0.0, 0.0, 0.0, 0.0, len(sums) - 1)
    deviations: Floats = (sums - value * counts) / (value * counts.sum())
    return _widest(value, deviations, groups)


def estimate_ratio(above: npt.ArrayLike, below: npt.ArrayLike, groups: Sequence[str] | None = None) -> Estimate:
    """Ratio of two sums over the same M frames, whose frames are compared one by one.

    Args:
        above, below: (M,) positive.
        groups: as of :func:`estimate_mean`.
    """
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    # A model that is exact would divide by zero.
    tiny = float(np.finfo(np.float64).tiny)
    over, under = max(float(above.sum()), tiny), max(float(below.sum()), tiny)
    return _widest(over / under, above / over - below / under, groups)


def confidence_of_look(look: int) -> float:
    """How sure a bound must be that is taken from frames which are judged for the ``look``-th time, counted from 1.

    A model that follows from a failed certificate must not pass by trying again on the same frames. The k-th look may
    be wrong in :data:`ERROR` / 2^k of cases, all looks together in :data:`ERROR`, however many there will be. The first
    bound is then the end of an ordinary two-sided 95% interval.

    >>> [confidence_of_look(look) for look in (1, 2, 3)]
    [0.975, 0.9875, 0.99375]
    """
    return 1 - ERROR * 0.5**look


def proportion_bounds(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Lower and upper bound of a probability, each holding with ``confidence`` by itself (Clopper and Pearson,
    doi:10.1093/biomet/26.4.404).

    >>> [round(bound, 3) for bound in proportion_bounds(30, 30, 0.95)]
    [0.905, 1.0]
    """
    from scipy.stats import beta

    failures = trials - successes
    low = float(beta.ppf(1 - confidence, successes, failures + 1)) if successes else 0.0
    high = float(beta.ppf(confidence, successes + 1, failures)) if failures else 1.0
    return low, high


def trials_needed(failures: int, threshold: float, confidence: float) -> int:
    """Fewest trials of which so many may fail, and the lower bound of the rest is still at least the threshold.

    >>> trials_needed(0, 0.9, 0.95), trials_needed(1, 0.9, 0.95)
    (29, 46)
    """
    trials = failures + 1
    while proportion_bounds(trials - failures, trials, confidence)[0] < threshold:
        trials += 1
    return trials


def frames_needed(estimate: Estimate, frames: int, threshold: float, confidence: float) -> int | None:
    """About how many frames would take the upper bound below the threshold, if value and scatter stay as they are.

    The width of the interval falls with the root of their number. None where the value itself is not below, or too
    near to the threshold to be told from it by :data:`MOST` times as many.
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
    """Of Student's distribution."""
    from scipy.stats import t

    return float(t.ppf(confidence, degrees))


def _widest(value: float, deviations: Floats, groups: Sequence[str] | None) -> Estimate:
    """Of the estimates over frames and over groups, the one with the wider interval.

    Args:
        deviations: (M,) contributions to the relative error of the value; they add up to 0.
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
    # A scatter that defies any bound must not overflow.
    factor = math.exp(min(quantile(confidence, degrees) * spread, 700.0))
    return value / factor, value * factor
