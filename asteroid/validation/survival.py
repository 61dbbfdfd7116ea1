"""How many replicas survive how long, with a confidence interval: eight that all survive say little about the next.

The product-limit estimate of Kaplan and Meier (doi:10.1080/01621459.1958.10501452): a replica that reached its planned
end, or was stopped for another reason, is known to have survived until then and no longer.
:mod:`asteroid.validation.dynamics` asks here.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asteroid.store.records import Floats, Ints


@dataclass(frozen=True, eq=False)
class Survival:
    """The part of replicas that survive, as a step function of time that starts at 1.

    Args:
        times: (E,) when replicas failed, ascending, each time once; the function steps there. Units as given.
        at_risk: (E,) replicas that were still watched just before.
        failed: (E,) replicas that failed then.
        surviving: (E,) the estimate from then on.
        low, high: (E,) its confidence interval.
        first_low: lower end of the interval before the first failure, and everywhere where none failed.
        until: the longest time that was watched.
        replicas: how many there were.
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
        """The estimate at the end of the watch, with its interval: value, low, high."""
        if not len(self.times):
            return 1.0, self.first_low, 1.0
        return float(self.surviving[-1]), float(self.low[-1]), float(self.high[-1])


def kaplan_meier(times: Sequence[float], failed: Sequence[bool], *, confidence: float = 0.95) -> Survival:
    """The estimate from how long each replica was watched and whether it failed then.

    Intervals are those of Greenwood's variance of log(−log S), which stay within 0 and 1. They have no width where none
    failed or none is left; there, the exact one-sided binomial bound of all replicas stands: with none of n failed, at
    least (1 − confidence)^(1/n) survive, roughly 1 − 3/n (the rule of three).

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
    with warnings.catch_warnings(action="ignore"):  # There are bounds that are not defined: see above.
        interval = estimate.confidence_interval(confidence, method="log-log")
    low, high = interval.low.evaluate(moments), interval.high.evaluate(moments)
    surviving = estimate.evaluate(moments)
    if len(moments) and not surviving[-1]:
        low[-1], high[-1] = 0.0, min(1 - bound, high[-2] if len(high) > 1 else 1.0)
    return Survival(
        times=moments,
        # Whoever is lost at the moment of a failure was still at risk.
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
