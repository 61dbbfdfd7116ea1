"""Means over seeds, paired ratios with 95% intervals, and the number of labels that ``scratch`` needs.

A seed draws the frames and the random weights. Two variants with the same seed have the same frames, so ratios are
taken seed by seed and the effect of the draw cancels. Used by :mod:`asteroid.comparison.summary`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from asteroid.validation.intervals import quantile

Groups = Sequence[tuple[float, int]]
Bound = Literal["exact", "at least", "at most"]

RESAMPLES = 2000
"""Bootstrap samples: the ends of a 95% interval then move by about 1% of their value from seed to seed."""


@dataclass(frozen=True)
class Mean:
    """Mean over seeds, its standard error and Student's 95% interval; the last three are None for a single seed."""

    mean: float
    standard_error: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Ratio:
    """Ratio of the errors of two variants: below 1, the first is better.

    Args:
        value: geometric mean over the common seeds.
        low, high: 95% interval.
        p: of a two-sided paired test that the ratio is 1; None with a single seed.
        seeds: number of common seeds.
        over: what the interval is over; with one seed groups of test frames, which do not cover other draws.
    """

    value: float
    low: float
    high: float
    p: float | None
    seeds: int
    over: Literal["seeds", "test groups"]


@dataclass(frozen=True)
class Worth:
    """How many accurate labels ``scratch`` needs for the same error.

    Args:
        labels: by interpolation on the learning curve of ``scratch``, or the end of the curve.
        bound: ``exact``, or on which side of the curve's end the number lies.
    """

    labels: float
    bound: Bound


def mean_over_seeds(values: Sequence[float]) -> Mean:
    """Mean, standard error and 95% interval by Student's t.

    >>> found = mean_over_seeds([1.0, 2.0, 3.0])
    >>> found.mean, round(found.standard_error, 4), round(found.high - found.mean, 4)
    (2.0, 0.5774, 2.4841)
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Mean(mean, None, None, None)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = quantile(0.975, len(values) - 1) * error
    return Mean(mean, error, mean - half, mean + half)


def paired_ratio(
    ours: Mapping[int, float], theirs: Mapping[int, float], groups: Mapping[int, tuple[Groups, Groups]]
) -> Ratio | None:
    """Ratio of the errors of two variants, paired by seed; None without a common seed.

    Mean, interval and test are those of the logarithms, in which ratios of 2 and 1/2 are equally far from 1.

    Args:
        ours, theirs: errors by seed.
        groups: by seed, the error sums and counts of both variants for each group of test frames; used with one seed.
    """
    from scipy.stats import t

    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return None
    logs = np.log([ours[seed] / theirs[seed] for seed in seeds])
    mean = float(logs.mean())
    if len(seeds) == 1:
        low, high = _over_groups(*groups[seeds[0]])
        return Ratio(math.exp(mean), low, high, None, 1, "test groups")
    error = float(logs.std(ddof=1)) / math.sqrt(len(seeds))
    half = quantile(0.975, len(seeds) - 1) * error
    # The error is zero when both variants are the same model.
    p = float(2 * t.sf(abs(mean) / error, len(seeds) - 1)) if error > 0 else float(mean == 0)
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), p, len(seeds), "seeds")


def labels_of_scratch(error: float, curve: Mapping[int, float]) -> Worth | None:
    """Number of labels with which ``scratch`` reaches an error, by log-log interpolation of its learning curve.

    Where the curve rises it is replaced by its running minimum. None where it has fewer than two points.

    Args:
        curve: the error of ``scratch`` by number of labels.

    >>> labels_of_scratch(0.5, {25: 2.0, 100: 0.5, 400: 0.125})
    Worth(labels=100.0, bound='exact')
    >>> labels_of_scratch(0.1, {25: 2.0, 100: 0.5})
    Worth(labels=100.0, bound='at least')
    """
    if len(curve) < 2:
        return None
    counts = np.array(sorted(curve), dtype=float)
    errors = np.minimum.accumulate([curve[int(count)] for count in counts])
    if error > errors[0]:
        return Worth(float(counts[0]), "at most")
    if error < errors[-1]:
        return Worth(float(counts[-1]), "at least")
    # On a flat stretch, the smallest number of labels.
    last = int(np.argmax(errors <= error))
    if last == 0:
        return Worth(float(counts[0]), "exact")
    fraction = math.log(errors[last - 1] / error) / math.log(errors[last - 1] / errors[last])
    return Worth(float(counts[last - 1] * (counts[last] / counts[last - 1]) ** fraction), "exact")


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def _over_groups(ours: Groups, theirs: Groups) -> tuple[float, float]:
    """95% percentile bootstrap of a ratio of mean errors, over groups: frames within a group are similar."""
    sums = np.array([[a, b] for (a, _), (b, _) in zip(ours, theirs, strict=True)])
    picks = np.random.default_rng(0).integers(0, len(sums), size=(RESAMPLES, len(sums)))
    # Both have the same counts, which cancel.
    resampled = sums[picks].sum(axis=1)
    low, high = np.percentile(resampled[:, 0] / resampled[:, 1], [2.5, 97.5])
    return float(low), float(high)
