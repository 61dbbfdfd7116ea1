"""The chain, and the number of labels at each of its levels, that promise the smallest error for a budget.

As in multilevel Monte Carlo (Giles, doi:10.1287/opre.1070.0496), most labels go where they are cheap: each step of a
chain is a correction whose residual error falls with its own labels, and the steps' errors add as independent ones do.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from asteroid.acquisition.stopping import LearningCurve
from asteroid.store.chain_records import Chain

MOST_BETWEEN = 2
"""Levels between the cheap and the accurate one: each takes labels and a kernel of its own."""


ALIKE = 1.05
"""Times the smallest promised error up to which a chain of fewer levels is preferred: promises are no better known."""


def best_counts(
    curves: Sequence[LearningCurve],
    prices: Sequence[float],
    budget: float,
    *,
    least: int,
    most: Sequence[int],
) -> tuple[int, ...] | None:
    """Labels at each level of a chain that make the error smallest; None where the least already costs too much.

    A level has at least as many labels as the one above it, whose frames it needs.

    Args:
        curves: residual error of the step up to each level by its labels.
        prices: core-seconds of a label at each level.
        budget: core-seconds.
        least, most: labels of a level; the most of each level.

    >>> steep, flat = LearningCurve(0.5, 0.5), LearningCurve(0.05, 0.5)
    >>> best_counts([steep, flat], [1.0, 10.0], 400.0, least=5, most=[1000, 1000])
    (303, 9)
    """
    least_cost = least * sum(prices)
    if least_cost > budget:
        return None

    def counts(multiplier: float) -> list[float]:
        """Where a further core-second takes as much off the squared error at every level."""
        found = []
        for curve, price, limit in zip(curves, prices, most, strict=True):
            power = 2 * curve.exponent
            n = (power * curve.factor**2 / (multiplier * price)) ** (1 / (power + 1))
            found.append(min(max(n, least), limit))
        # From the top down: no level has fewer labels than the one above.
        return list(itertools.accumulate(reversed(found), max))[::-1]

    low, high = 1e-30, 1e30
    for _ in range(200):
        middle = math.sqrt(low * high)
        if sum(n * price for n, price in zip(counts(middle), prices, strict=True)) > budget:
            low = middle
        else:
            high = middle
    return tuple(int(n + 1e-9) for n in counts(high))


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
) -> list[Chain]:
    """Every chain that the budget pays for, the one with the smallest promised error first.

    Args:
        candidates: levels that may stand in between.
        curves: of the correction from a level to another one, by their names.
        prices: core-seconds of a label, by level.
        budget: core-seconds for all labels that train or are held out; those below the accurate level among them.
        least: labels at each level.
        most: labels at each level: as many as there are frames, or as a kernel can take.
        pilot: core-seconds of the pilot's labels, by level: spent in vain where a chain does not have the level.
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
            price = [prices[level] for level in levels]
            vain = sum(spent for level, spent in pilot.items() if level not in levels)
            labels = best_counts(laws, price, budget - vain, least=least, most=[most[level] for level in levels])
            if labels is None:
                continue
            parts = tuple(law.error(n) for law, n in zip(laws, labels, strict=True))
            found.append(Chain(levels, labels, float(np.dot(labels, price)) + vain, math.hypot(*parts), parts))
    return sorted(found, key=lambda chain: chain.error)


def choose(found: Sequence[Chain]) -> Chain:
    """The shortest chain whose promised error is hardly larger than the smallest."""
    alike = [chain for chain in found if chain.error <= ALIKE * found[0].error]
    return min(alike, key=lambda chain: (len(chain.levels), chain.error))
