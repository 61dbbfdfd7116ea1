"""Figures of the rounds, each a PNG as bytes: errors, costs, bounds of picked frames, and calibration."""

from collections.abc import Sequence

import numpy as np

from asteroid.report.canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    draw_points,
    legend_above,
    new_axes,
    plain_numbers,
    to_png,
)
from asteroid.store.round_records import Calibration, ErrorInterval, RoundRecord

_PARTS = (("labels", VERMILION), ("training", GREEN), ("exploration", ORANGE))


def error_curve(
    x: Sequence[float],
    held_out: Sequence[ErrorInterval],
    fresh: Sequence[ErrorInterval | None],
    *,
    xlabel: str,
) -> bytes:
    """Held-out force error after each round with its 95% interval, meV/Å.

    Open symbols: error of the previous model on the new labels.
    """
    figure, axes = new_axes(xlabel, "force MAE (meV/Å)")
    axes.set_yscale("log")
    values = [1000 * found.force_mae or np.nan for found in held_out]
    axes.plot(x, values, color=BLUE, marker="o", markersize=5, label="held-out frames, after training")
    for place, found in zip(x, held_out, strict=True):
        # The interval of a single frame has no upper end.
        if found.low and found.high is not None:
            axes.plot([place, place], [1000 * found.low, 1000 * found.high], color=BLUE, linewidth=1.2)
    pairs = [(place, 1000 * found.force_mae or np.nan) for place, found in zip(x, fresh, strict=True) if found]
    if pairs:
        places, errors = zip(*pairs, strict=True)
        label = "new labels, before training on them"
        axes.plot(places, errors, "D", color=VERMILION, markerfacecolor="none", markersize=5, label=label)
    plain_numbers(axes.yaxis)
    axes.legend(frameon=False, fontsize=9)
    return to_png(figure)


def cost_of_rounds(rounds: Sequence[RoundRecord]) -> bytes:
    """Core-hours of each round for labels, training and exploration."""
    figure, axes = new_axes("round", "core-hours", size=(5.0, 3.4))
    numbers = [found.round for found in rounds]
    bottom = np.zeros(len(rounds))
    for name, colour in _PARTS:
        hours = np.array([getattr(found.core_seconds, name) / 3600 for found in rounds])
        axes.bar(numbers, hours, bottom=bottom, color=colour, label=name, width=0.7)
        bottom += hours
    axes.set_xticks(numbers)
    legend_above(axes)
    return to_png(figure)


def bounds_against_errors(pairs: Sequence[tuple[float, float]]) -> bytes:
    """True error of each picked frame against its error bound, meV/Å; the bound holds below the line.

    Args:
        pairs: (bound, error) of each frame, eV/Å.
    """
    figure, axes = new_axes("error bound (meV/Å)", "true error (meV/Å)")
    bounds, errors = 1000 * np.array(pairs).T
    draw_points(axes, bounds, errors, "picked frames", BLUE, "o")
    end = 1.08 * max(bounds.max(), errors.max())
    axes.plot([0, end], [0, end], color=GREY, linewidth=1, zorder=0)
    axes.set_xlim(0, 1.08 * bounds.max())
    axes.set_ylim(0, 1.08 * errors.max())
    axes.legend(frameon=False, fontsize=9)
    return to_png(figure)


def calibration_plot(calibration: Calibration) -> bytes:
    """True error against the committee's uncertainty for held-out frames, meV/Å, and the error bound."""
    figure, axes = new_axes("uncertainty of the committee (meV/Å)", "error of the frame (meV/Å)")
    uncertainty, error = (1000 * np.array(part, dtype=float) for part in (calibration.uncertainty, calibration.error))
    draw_points(axes, uncertainty, error, "held-out frames", BLUE, "o")
    ends = np.array([0.0, 1.08 * uncertainty.max()])
    line = calibration.scale * (ends + 1000 * calibration.offset)
    label = f"bound for {100 * calibration.guaranteed:.0f}% of new frames"
    axes.plot(ends, line, color=VERMILION, linewidth=1.5, label=label)
    axes.set_xlim(0, ends[1])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    return to_png(figure)
