"""Figure of the chains that a pilot compared: expected error against the cost of labels, a PNG as bytes."""

import numpy as np
import numpy.typing as npt

from asteroid.acquisition.stopping import LearningCurve
from asteroid.chains.choice import best_counts, own_prices
from asteroid.levels import LevelOfTheory
from asteroid.report.canvas import CYCLE, GREY, legend_above, new_axes, plain_numbers, to_png
from asteroid.store.chain_records import Chain, Pilot

Floats = npt.NDArray[np.float64]

MOST_LINES = 5
"""Largest number of chains in the figure: the chosen one, one step alone, and the best of the others."""

BUDGETS = np.geomspace(0.25, 4, 25)
"""Multiples of the budget over which a line is drawn."""


def expected_errors(pilot: Pilot, cheap: str, *, found: float | None = None) -> bytes:
    """Expected force error, meV/Å, of each chain for budgets around the pilot's, in core-hours.

    Args:
        cheap: level below all chains.
        found: error of the finished correction on held-out frames, eV/Å; None before there is one.
    """
    figure, axes = new_axes("labels (core-hours)", "expected force error (meV/Å)", size=(6.0, 4.0))
    axes.set_xscale("log")
    axes.set_yscale("log")
    others = [chain for chain in pilot.chains if chain != pilot.chosen]
    alone = [chain for chain in others if not chain.between]
    rest = [chain for chain in others if chain.between]
    shown = [pilot.chosen, *alone, *rest][:MOST_LINES]
    for chain, colour in zip(shown, CYCLE, strict=False):
        hours, errors = _line(pilot, cheap, chain)
        chosen = chain == pilot.chosen
        name = " → ".join((cheap, *chain.levels)) + (" (chosen)" if chosen else "")
        axes.plot(hours, 1000 * errors, color=colour, linewidth=2.2 if chosen else 1.2, label=name)
        axes.plot(chain.core_seconds / 3600, 1000 * chain.error, "o", color=colour, markersize=6 if chosen else 4)
    if found is not None:
        place = pilot.chosen.core_seconds / 3600
        axes.plot(place, 1000 * found, "D", color="black", markerfacecolor="none", label="found on held-out frames")
    axes.axvline(pilot.budget / 3600, color=GREY, linestyle="--", linewidth=1)
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
    legend_above(axes, columns=1)
    return to_png(figure)


def _line(pilot: Pilot, cheap: str, chain: Chain) -> tuple[Floats, Floats]:
    """Core-hours and errors (eV/Å) of the best numbers of labels for several budgets."""
    exponents = {(curve.below, curve.above): curve.exponent for curve in pilot.curves}
    steps = zip((cheap, *chain.between), chain.levels, strict=True)
    laws = [
        # Through the expected error of the chain, which allows for held-out labels.
        LearningCurve(part * count ** exponents[step], exponents[step])
        for step, part, count in zip(steps, chain.parts, chain.labels, strict=True)
    ]
    parts = [str(part.level) for part in LevelOfTheory.parse(chain.levels[-1], imported=True).parts]
    prices = own_prices(chain.levels, [pilot.prices[level] for level in chain.levels], parts)
    lost = max(0.0, chain.core_seconds - float(np.dot(chain.labels, prices)))
    hours, errors = [], []
    for budget in pilot.budget * BUDGETS:
        least, most = [pilot.frames] * len(laws), [10**6] * len(laws)
        counts = best_counts(laws, prices, budget - lost, least=least, most=most)
        if counts is not None:
            hours.append(budget / 3600)
            errors.append(float(np.hypot.reduce([law.error(n) for law, n in zip(laws, counts, strict=True)])))
    return np.array(hours), np.array(errors)
