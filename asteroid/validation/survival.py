"""Part of the replicas that survives as a function of time, with confidence intervals.

The estimate of Kaplan and Meier (doi:10.1080/01621459.1958.10501452): a replica that reached its planned end, or was
stopped for another reason, is censored at that time. Used by :mod:`asteroid.validation.dynamics`.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asteroid.store.records import Floats, Ints


@dataclass(frozen=True, eq=False)
class Survival:
    """Surviving part of the replicas, a step function of time that starts at 1.

    Args:
        times: (E,) times of failures, ascending, without repeats.
        at_risk: (E,) number of replicas that run just before.
        failed: (E,) number of replicas that fail then.
        surviving: (E,) surviving part from then on.
        low, high: (E,) confidence interval.
        first_low: lower end of the interval before the first failure.
        until: longest time of a replica.
        replicas: number of replicas.
        confidence: of the intervals.
    """

    times: Floats
    at_risk: Ints
    failed: Ints
    surviving: Floats
    low: Floats
    high: Floats
    first_low: float
    until: float
    replicas: int
    confidence: float

    @property
    def at_end(self) -> tuple[float, float, float]:
        """Surviving part at the end, with its interval: value, low, high."""
        if not len(self.times):
            return 1.0, self.first_low, 1.0
        return float(self.surviving[-1]), float(self.low[-1]), float(self.high[-1])


def kaplan_meier(times: Sequence[float], failed: Sequence[bool], *, confidence: float = 0.95) -> Survival:
    """Kaplan–Meier estimate from the length of each replica and whether it failed at its end.

    Intervals are those of log(−log S) with Greenwood's variance, which stay within 0 and 1. They have no width if none
    failed or all did. The exact one-sided binomial bound is used instead: if none of n failed, at least
    (1 − confidence)^(1/n) survive, about 1 − 3/n for 95% (the rule of three).

    Args:
        times: length of each replica, in any unit.
        failed: whether it failed then.

    Raises:
        ValueError: without replicas, or for different numbers of times and outcomes.

    >>> survival = kaplan_meier([1.0, 2.0, 2.0, 3.0], [True, False, True, False])
    >>> survival.times.tolist(), survival.surviving.tolist()
    ([1.0, 2.0], [0.75, 0.5])
    >>> round(kaplan_meier([2.0] * 8, [False] * 8).at_end[1], 3)
    0.688
    """
    from scipy.stats import CensoredData, ecdf

    ends, has_failed = np.asarray(times, dtype=np.float64), np.asarray(failed, dtype=bool)
    if ends.shape != has_failed.shape or not ends.size:
        raise ValueError(f"{ends.size} times and {has_failed.size} outcomes; expected one of each for every replica")
    bound = (1 - confidence) ** (1 / len(ends))
    moments, deaths = np.unique(ends[has_failed], return_counts=True)
    estimate = ecdf(CensoredData.right_censored(ends, ~has_failed)).sf
    with warnings.catch_warnings(action="ignore"):  # Some bounds are undefined, see above.
        interval = estimate.confidence_interval(confidence, method="log-log")
    low, high = interval.low.evaluate(moments), interval.high.evaluate(moments)
    surviving = estimate.evaluate(moments)
    if len(moments) and not surviving[-1]:
        low[-1], high[-1] = 0.0, min(1 - bound, high[-2] if len(high) > 1 else 1.0)
    return Survival(
        times=moments,
        # Replicas censored at the time of a failure are still at risk.
        at_risk=(ends[None, :] >= moments[:, None]).sum(1),
        failed=deaths.astype(np.int64),
        surviving=surviving,
        low=low,
        high=high,
        first_low=bound,
        until=float(ends.max()),
        replicas=len(ends),
        confidence=confidence,
    )
