"""Distribution of labels over the molecules of a model, by the expected fall of the mean error per core-second.

Called by :mod:`asteroid.stages.rounds` with errors and costs of the last round.
"""

import math
from collections.abc import Mapping, Sequence

from asteroid.acquisition.stopping import ENOUGH_ROUNDS, fit_curve

EXPONENT = 0.5
"""Exponent of the learning curve while there are too few rounds to fit it: error ∝ 1/√labels."""


def falling(curve: Sequence[tuple[float, float]]) -> float:
    """Exponent of the learning curve.

    Args:
        curve: labels and error, eV/Å, of each round.

    >>> round(falling([(25, 0.08), (50, 0.04), (100, 0.02)]), 6)
    1.0
    >>> falling([(25, 0.08), (50, 0.04)])
    0.5
    """
    labels = [count for count, _ in curve]
    if len(curve) < ENOUGH_ROUNDS or len(set(labels)) < 2:
        return EXPONENT
    return fit_curve(labels, [error for _, error in curve]).exponent or EXPONENT


def share(
    molecules: Mapping[str, tuple[int, float]],
    *,
    price: Mapping[str, float],
    left: Mapping[str, int],
    wanted: int,
    money: float = math.inf,
    exponent: float = EXPONENT,
) -> dict[str, int]:
    """Number of labels for each molecule in a round; at least one in total while the budget of any molecule allows it.

    Each label goes to the molecule whose error it is expected to lower most per core-second, with an error proportional
    to n^(−exponent) for n labels.

    Args:
        molecules: number of accurate labels so far and the error with them, eV/Å, by name.
        price: core-seconds per label.
        left: labels left in the budget of each molecule.
        wanted: labels of the round.
        money: core-seconds available for labels.

    >>> share({"a": (10, 0.02), "b": (10, 0.04)}, price={"a": 1.0, "b": 1.0}, left={"a": 50, "b": 50}, wanted=10)
    {'a': 2, 'b': 8}
    """
    found = dict.fromkeys(molecules, 0)

    def gain(name: str) -> float:
        labels, error = molecules[name]
        now = max(labels, 1) + found[name]
        fall = error * (labels / now) ** exponent * (1 - (now / (now + 1)) ** exponent)
        return float(fall / max(price[name], 1e-9))

    while sum(found.values()) < wanted:
        affordable = [name for name in molecules if found[name] < left[name] and price[name] <= money]
        if not any(found.values()):
            affordable = affordable or [name for name in molecules if left[name]]
        if not affordable:
            break
        best = max(affordable, key=gain)
        found[best] += 1
        money -= price[best]
    return found
