"""The chain and the number of labels at each level with the smallest expected error for a budget.

As in multilevel Monte Carlo (Giles, doi:10.1287/opre.1070.0496), cheap levels get most labels: each step of a chain is
a correction whose residual error falls with its number of labels, and the errors of the steps add as independent ones.
"""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from asteroid.acquisition.stopping import LearningCurve
from asteroid.store.chain_records import Chain

MOST_BETWEEN = 2
"""Largest number of intermediate levels; each needs labels and a kernel."""

ALIKE = 1.05
"""A shorter chain is preferred up to this many times the smallest expected error, which is not known more precisely."""


def best_counts(
    curves: Sequence[LearningCurve],
    prices: Sequence[float],
    budget: float,
    *,
    least: Sequence[int],
    most: Sequence[int],
) -> tuple[int, ...] | None:
    """Numbers of labels at the levels of a chain with the smallest error; None if ``least`` exceeds the budget.

    A level has at least as many labels as the level above, because it needs labels of the same frames.

    Args:
        curves: residual error of the step to each level as a function of its labels.
        prices: core-seconds per label at each level.
        budget: core-seconds.
        least: smallest number of labels at each level.
        most: largest number of labels at each level.

    >>> steep, flat = LearningCurve(0.5, 0.5), LearningCurve(0.05, 0.5)
    >>> best_counts([steep, flat], [1.0, 10.0], 400.0, least=[5, 5], most=[1000, 1000])
    (303, 9)
    """
    if sum(n * price for n, price in zip(least, prices, strict=True)) > budget:
        return None

    def counts(multiplier: float) -> list[float]:
        """Numbers with the same fall of the squared error per core-second at all levels."""
        found = []
        for curve, price, fewest, limit in zip(curves, prices, least, most, strict=True):
            power = 2 * curve.exponent
            n = (power * curve.factor**2 / (multiplier * price)) ** (1 / (power + 1))
            found.append(min(max(n, fewest), limit))
        # From the top: no level has fewer labels than the one above.
        return list(itertools.accumulate(reversed(found), max))[::-1]

    low, high = 1e-30, 1e30
    for _ in range(200):
        middle = math.sqrt(low * high)
        if sum(n * price for n, price in zip(counts(middle), prices, strict=True)) > budget:
            low = middle
        else:
            high = middle
    return tuple(int(n + 1e-9) for n in counts(high))


def own_prices(levels: Sequence[str], prices: Sequence[float], parts: Collection[str]) -> list[float]:
    """Core-seconds per label at the levels of a chain, without those of another level of it.

    An accurate label at a composite level includes labels at its parts; a part that is a level of the chain is paid
    there.

    Args:
        levels: the accurate one last.
        prices: core-seconds per label, by itself.
        parts: of the accurate level.

    >>> own_prices(["mp2/cc-pvtz", "sum"], [3.0, 10.0], ["mp2/cc-pvtz", "mp2/cc-pvdz"])
    [3.0, 7.0]
    """
    *between, accurate = prices
    shared = sum(price for level, price in zip(levels, between, strict=False) if level in parts)
    # Never quite nothing: all parts may be levels of the chain.
    return [*between, max(accurate - shared, 1e-6 * accurate)]


def chains(
    cheap: str,
    accurate: str,
    candidates: Sequence[str],
    curves: Mapping[tuple[str, str], LearningCurve],
    prices: Mapping[str, float],
    budget: float,
    *,
    least: int,
    most: Mapping[str, int],
    pilot: Mapping[str, float],
    parts: Collection[str] = (),
) -> list[Chain]:
    """All chains within the budget, in order of their expected error.

    Args:
        candidates: possible intermediate levels.
        curves: of the correction from one level to another, by their names.
        prices: core-seconds per label, by level.
        budget: core-seconds for all training and held-out labels, at all levels above the cheap one.
        least: smallest number of labels at each level.
        most: largest number of labels at each level, limited by the frames or by the size of a kernel.
        pilot: core-seconds of the pilot's labels, by level; lost for chains without the level.
        parts: levels whose labels are part of each accurate one; those of a level of the chain are paid once.
    """
    ordered = sorted(candidates, key=lambda level: prices[level])
    found = []
    for count in range(MOST_BETWEEN + 1):
        for between in itertools.combinations(ordered, count):
            levels = (*between, accurate)
            steps = list(zip((cheap, *between), levels, strict=True))
            if any(step not in curves for step in steps):
                continue
            laws = [curves[step] for step in steps]
            price = own_prices(levels, [prices[level] for level in levels], parts)
            lost = sum(spent for level, spent in pilot.items() if level not in levels)
            labels = best_counts(
                laws, price, budget - lost, least=[least] * len(levels), most=[most[level] for level in levels]
            )
            if labels is None:
                continue
            errors = tuple(law.error(n) for law, n in zip(laws, labels, strict=True))
            found.append(Chain(levels, labels, float(np.dot(labels, price)) + lost, math.hypot(*errors), errors))
    return sorted(found, key=lambda chain: chain.error)


def choose(found: Sequence[Chain]) -> Chain:
    """The shortest chain with an expected error within :data:`ALIKE` times the smallest."""
    alike = [chain for chain in found if chain.error <= ALIKE * found[0].error]
    return min(alike, key=lambda chain: (len(chain.levels), chain.error))
