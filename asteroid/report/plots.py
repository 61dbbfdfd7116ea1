"""Figures of training and of costs, each a PNG as bytes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import FuncFormatter

from asteroid.quantities import format_number
from asteroid.report.canvas import (
    CYCLE,
    GREY,
    ORANGE,
    new_axes,
    plain_numbers,
    tick_label,
    to_png,
)
from asteroid.store.models import Card


def learning_curves(card: Card, scratch: Card | None) -> bytes:
    """Held-out force error (or energy error without accurate forces) against training steps; trials of γ in grey."""
    quantity = "energy MAE on held-out frames (meV/atom)"
    if card.valid_force_mae is not None:
        quantity = "force MAE on held-out frames (meV/Å)"
    figure, axes = new_axes("training step", quantity)
    axes.set_yscale("log")
    for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        set_formatter(FuncFormatter(lambda value, _: tick_label(float(f"{value:.2g}"))))
    start, colours, trial = 0, iter(CYCLE), "γ trials"
    for stage, steps, errors in _stages(card):
        if stage.startswith("gamma"):
            axes.plot(steps, errors, color=GREY, linewidth=1, alpha=0.7, marker=".", markersize=4, label=trial)
            trial = "_nolegend_"
            continue
        axes.plot(steps + start, errors, color=next(colours, GREY), label=stage, marker=".", markersize=4)
        start += int(steps[-1])
    if scratch:
        for stage, steps, errors in _stages(scratch):
            axes.plot(steps, errors, color=ORANGE, linestyle="--", label=f"{stage} (accurate labels alone)")
    axes.legend(frameon=False, fontsize=9)
    return to_png(figure)


def cost_bar(costs: Sequence[tuple[str, float]]) -> bytes:
    """Cost of each stage, given in core-seconds and drawn in core-hours."""
    figure, axes = new_axes("core-hours (logarithmic)", "", size=(7.2, 0.5 + 0.45 * len(costs)))
    names, spent = [name for name, _ in costs], [seconds / 3600 for _, seconds in costs]
    bars = axes.barh(range(len(costs)), spent, color=[CYCLE[i % len(CYCLE)] for i in range(len(costs))])
    axes.set_xscale("log")
    # Room for numbers beside the longest bar, and a start below the shortest.
    positive = [s for s in spent if s > 0] or [1.0]
    axes.set_xlim(min(positive) / 5, max(positive) * 8)
    axes.bar_label(bars, labels=[format_number(s) for s in spent], padding=4, fontsize=9)
    axes.set_yticks(range(len(costs)), names)
    axes.invert_yaxis()
    plain_numbers(axes.xaxis)
    axes.grid(visible=False, axis="y")
    return to_png(figure)


def _stages(card: Card) -> list[tuple[str, npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Name, steps and held-out errors (meV/Å or meV/atom) of each stage of a training."""
    error = "valid_energy_mae" if card.valid_force_mae is None else "valid_force_mae"
    names = dict.fromkeys(line.stage for line in card.history)
    rows = {name: [line for line in card.history if line.stage == name] for name in names}
    return [
        (name, np.array([r.step for r in lines]), 1000 * np.array([getattr(r, error) for r in lines], float))
        for name, lines in rows.items()
    ]
