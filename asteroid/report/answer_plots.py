"""Small pictures for accuracy, cost and gain at the top of a report, each a PNG as bytes.

The text beside them comes from :mod:`asteroid.report.answers`.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asteroid.quantities import format_number, format_quantity, shown_unit
from asteroid.report.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, new_axes, plain_numbers, to_png
from asteroid.report.cost import Cost, Quoted
from asteroid.report.groups import Group
from asteroid.report.words import main_error, rounded
from asteroid.validation.errors import Errors
from asteroid.validation.intervals import Estimate
from asteroid.validation.line import OPEN
from asteroid.validation.worth import LearningCurve, Worth

WIDTH = 3.6
"""Width in inches, for letters as large as the text beside the picture."""

RANGE = (0.01, 10.0)
"""Range of the ratio of bound and threshold; values outside are drawn at its ends."""

STATE_COLOURS = {"passed": GREEN, OPEN: ORANGE, "failed": VERMILION, "not checked": GREY}

_KINDS = {
    "sampling": PURPLE,
    "cheap labels": BLUE,
    "accurate labels": VERMILION,
    "training": GREEN,
    "exploration": ORANGE,
    "validation": GREY,
}


def accuracy(groups: Sequence[Group]) -> bytes:
    """Ratio of bound and threshold of the worst line of each group, on a logarithmic scale."""
    figure, axes = _small_axes("bound ÷ threshold", rows=len(groups))
    axes.set_xscale("log")
    for row, group in enumerate(groups):
        colour = STATE_COLOURS[group.state]
        if group.state != "not checked":
            right = min(max(group.closeness, RANGE[0]), RANGE[1])
            axes.barh(row, right - RANGE[0], left=RANGE[0], height=0.34, color=colour)
            if right == RANGE[0]:
                axes.plot(right, row, marker="|", markersize=9, markeredgewidth=3, color=colour, clip_on=False)
            if group.state == "failed":
                # A group has several quantities; the bar of a failed one has room for its name.
                place = (RANGE[0] * 1.15, row)
                axes.annotate(group.worst.name, place, va="center", fontsize=6.5, color="white", fontweight="bold")
        _row_title(axes, row, group.name, _found(group), colour)
    axes.axvline(1.0, color=GREY, linestyle="--", linewidth=1)
    axes.set_xlim(*RANGE)
    plain_numbers(axes.xaxis, (0.01, 0.1, 1, 10))
    _finish_rows(axes, len(groups))
    return to_png(figure)


def cost_by_kind(costs: Sequence[Cost], quoted: Quoted | None) -> bytes:
    """One bar for each kind of cost, with its stages side by side; a dashed outline is the estimate."""
    kinds = list(dict.fromkeys(cost.kind for cost in costs))
    figure, axes = _small_axes("core-hours", rows=len(kinds))
    longest = 0.0
    for row, kind in enumerate(kinds):
        left = 0.0
        for cost in costs:
            if cost.kind == kind:
                spent = cost.core_seconds / 3600
                axes.barh(row, spent, left=left, height=0.34, color=_KINDS[kind], edgecolor="white", linewidth=0.8)
                left += spent
        text = format_number(left, 2)
        said = quoted.most.get(kind) if quoted else None
        if said is not None:
            said /= 3600
            text += f" (estimate {format_number(said, 2)})"
            axes.barh(row, said, height=0.34, facecolor="none", edgecolor="black", linewidth=0.9, linestyle="--")
        longest = max(longest, left, said or 0.0)
        _row_title(axes, row, kind, text, "black")
    axes.set_xlim(0, 1.05 * longest or 1.0)
    _finish_rows(axes, len(kinds))
    return to_png(figure)


def gain(errors: Errors, scratch: Errors, labels: int, curve: LearningCurve | None, *, aid: str) -> bytes:
    """Error against the number of accurate labels, of this model and of models trained on accurate labels alone.

    Args:
        errors, scratch: of this model, and of the model trained on accurate labels alone.
        labels: number of accurate labels of this model, held-out ones included.
        curve: learning curve of accurate labels alone; None without one.
        aid: what this model uses in addition.
    """
    kind, unit, ours = main_error(errors)
    scale, shown = shown_unit(unit)
    points: list[tuple[int, Estimate]]
    points = [(point.labels, getattr(point, f"{kind}_mae")) for point in (curve or LearningCurve()).points]
    points = points or [(labels, main_error(scratch)[2])]
    figure, axes = new_axes("accurate labels", f"{kind} MAE ({shown})", size=(WIDTH, 2.9))
    _font(axes)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for count, error in points:
        _with_interval(axes, count, error, scale, ORANGE, "s")
    axes.plot([], [], "s", color=ORANGE, label=f"without {aid}")
    _with_interval(axes, labels, ours, scale, BLUE, "o")
    axes.plot([], [], "o", color=BLUE, label="this model")
    worth = curve.worth if curve else None
    right: float = max(max(count for count, _ in points), labels)
    left: float = min(min(count for count, _ in points), labels)
    if worth and worth.labels is not None:
        right, left = max(right, worth.labels), min(left, worth.labels)
        _draw_worth(axes, points, worth, worth.labels, target=scale * ours.value, scale=scale)
    axes.set_xlim(left / 1.35, right * 1.35)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top * (top / bottom) ** 0.3)  # room for the legend
    plain_numbers(axes.xaxis, sorted({count for count, _ in points} | {labels}))
    plain_numbers(axes.yaxis)
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    return to_png(figure)


def _draw_worth(
    axes: Axes, points: Sequence[tuple[int, Estimate]], worth: Worth, labels: float, *, target: float, scale: float
) -> None:
    """The power law, extended to the number of labels with the error of this model, and the interval of this number."""
    x = np.log([count for count, _ in points])
    y = np.log([scale * error.value for _, error in points])
    ends = np.log([min(min(c for c, _ in points), labels), max(max(c for c, _ in points), labels)])
    axes.plot(np.exp(ends), np.exp(y.mean() - worth.exponent * (ends - x.mean())), "--", color=ORANGE, linewidth=1)
    low, high = axes.get_xlim()
    axes.plot([worth.low or low, worth.high or high], [target, target], color=BLUE, linewidth=1.2, alpha=0.7)
    axes.plot(labels, target, "o", markerfacecolor="white", color=BLUE, markersize=6)
    axes.annotate(
        f"{rounded(labels)} labels",
        (labels, target),
        xytext=(-2, -12),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=BLUE,
    )


def _with_interval(axes: Axes, count: float, error: Estimate, scale: float, colour: str, marker: str) -> None:
    if math.isfinite(error.high):
        axes.plot([count, count], [scale * error.low, scale * error.high], color=colour, linewidth=1.4)
    axes.plot(count, scale * error.value, marker, color=colour, markersize=6)


def _small_axes(xlabel: str, *, rows: int) -> tuple[Figure, Axes]:
    figure, axes = new_axes(xlabel, "", size=(WIDTH, 0.55 + 0.37 * rows))
    _font(axes)
    return figure, axes


def _font(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_fontsize(8.5)


def _row_title(axes: Axes, row: int, left: str, right: str, colour: str) -> None:
    """The name of a bar above it, and its value at the right end."""
    place = axes.get_yaxis_transform()
    axes.text(0, row - 0.27, left, transform=place, fontsize=8, va="bottom")
    axes.text(1, row - 0.27, right, transform=place, fontsize=8, va="bottom", ha="right", color=colour)


def _finish_rows(axes: Axes, rows: int) -> None:
    axes.set_ylim(rows - 0.6, -0.85)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")


def _found(group: Group) -> str:
    """Value of the worst line with its unit; for a surviving part of 1, "all"."""
    if group.state == "not checked":
        return "not checked"
    value, unit = group.worst.value, group.worst.unit
    if value is None:
        return "not measured"
    unsure = f", {OPEN}" if group.state == OPEN else ""
    if unit == "" and math.isclose(value, group.worst.threshold) and group.worst.comparison == ">=":
        return ("all" if value == 1 else format_number(value)) + unsure
    return format_quantity(value, unit) + unsure
