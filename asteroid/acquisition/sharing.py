"""Which molecule of a model the next labels go to: where a core-second takes most off the mean error.

Called by :mod:`asteroid.stages.rounds` with what the last round has measured.
"""

import math
from collections.abc import Mapping, Sequence

from asteroid.acquisition.stopping import ENOUGH_ROUNDS, fit_curve

EXPONENT = 0.5
"""Of the learning curve as long as there are too few rounds to tell: an error falls with the root of the labels."""


def falling(curve: Sequence[tuple[int, float]]) -> float:
    """The exponent by which the error falls with the number of labels.

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
    """How many of a round's labels each molecule gets; at least one is bought where any is left.

    Each label goes to the molecule whose error it is expected to lower most per core-second, when the error of n labels
    is proportional to n to the power −exponent.

    Args:
        molecules: accurate labels so far and error with these, eV/Å, by name.
        price: core-seconds of one label.
        left: labels that the budget still allows.
        wanted: labels of the round.
        money: core-seconds that labels may cost.

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
