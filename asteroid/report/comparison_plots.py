"""Figures of a comparison as PNG bytes: learning curves, and ratios with their intervals.

Used by :mod:`asteroid.report.comparison`. A variant has the same colour and marker in all figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes

from asteroid.report.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, new_axes, plain_numbers, to_png

LOOKS = (
    *((GREY, "s"), (ORANGE, "v"), (BLUE, "o"), (VERMILION, "D"), (GREEN, "^"), (PURPLE, "P")),
    *(("#56b4e9", "X"), ("#000000", "<"), ("#b8a900", ">"), ("#8b4513", "*")),
)
"""Colours and markers, one for each strategy."""


@dataclass(frozen=True)
class Point:
    """One variant at one number of accurate labels.

    Args:
        x: accurate labels, or core-hours.
        mean, low, high: error and its interval; the ends are None with a single seed.
        seeds: the error of each seed.
    """

    x: float
    mean: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class Ratio:
    """Ratio of the errors of two variants at the same number of labels, with its 95% interval."""

    name: str
    value: float
    low: float
    high: float


def looks(variants: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each variant."""
    return {variant: LOOKS[index % len(LOOKS)] for index, variant in enumerate(variants)}


def learning_curves(curves: Mapping[str, Sequence[Point]], *, xlabel: str, ylabel: str, counts: bool) -> bytes:
    """Error against labels or cost, both logarithmic; single seeds are faint points.

    Args:
        counts: whether x are numbers of labels; each then gets a tick.
    """
    figure, axes = new_axes(xlabel, ylabel, size=(5.6, 4.4))
    axes.set_xscale("log")
    axes.set_yscale("log")
    names = looks(list(curves))
    for index, (variant, points) in enumerate(curves.items()):
        if not points:
            continue
        colour, marker = names[variant]
        # Shifted a little: error bars at the same number of labels would overlap.
        aside = 1.02 ** (index - (len(curves) - 1) / 2) if counts else 1.0
        points = [replace(point, x=point.x * aside) for point in points]
        _draw_curve(axes, variant, sorted(points, key=lambda point: point.x), colour, marker)
    # The axis spans the errors, not the intervals: those of two seeds are far too wide.
    errors = [error for points in curves.values() for point in points for error in (point.mean, *point.seeds)]
    axes.set_ylim(min(errors) / 1.25, max(errors) * 1.25)
    axes.margins(x=0.08)
    ticks = sorted({point.x for points in curves.values() for point in points}) if counts else None
    plain_numbers(axes.xaxis, ticks)
    plain_numbers(axes.yaxis)
    figure.legend(loc="outside lower center", ncols=2 if len(curves) < 7 else 3, frameon=False, fontsize=9)
    return to_png(figure)


def forest(ratios: Mapping[str, Sequence[Ratio]], *, variants: Sequence[str], xlabel: str) -> bytes:
    """Ratio to a baseline of every variant and number of labels; left of the dashed line, the variant is better.

    Args:
        ratios: by heading, the number of labels.
        variants: all of the comparison, for the same colours as in the other figures.
    """
    rows = sum(len(found) + 1 for found in ratios.values())
    figure, axes = new_axes(xlabel, "", size=(5.6, 0.9 + 0.27 * rows))
    axes.set_xscale("log")
    names = looks(variants)
    place = 0
    labels: list[tuple[int, str, bool]] = []
    for heading, found in ratios.items():
        labels.append((place, heading, True))
        for ratio in found:
            place += 1
            colour, marker = names[ratio.name]
            axes.plot([ratio.low, ratio.high], [place, place], color=colour, linewidth=1.8)
            axes.plot(ratio.value, place, marker=marker, color=colour, markersize=6)
            labels.append((place, ratio.name, False))
        place += 1
    axes.axvline(1.0, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks([at for at, _, _ in labels], [name for _, name, _ in labels])
    for tick, (_, _, bold) in zip(axes.yaxis.get_major_ticks(), labels, strict=True):
        tick.label1.set_fontweight("bold" if bold else "normal")
        tick.gridline.set_visible(False)
        tick.tick1line.set_visible(not bold)
    axes.invert_yaxis()
    plain_numbers(axes.xaxis)
    return to_png(figure)


def _draw_curve(axes: Axes, variant: str, points: Sequence[Point], colour: str, marker: str) -> None:
    x, means = [point.x for point in points], [point.mean for point in points]
    axes.plot(x, means, color=colour, marker=marker, markersize=5, linewidth=1.5, label=variant)
    for point in points:
        if point.low is not None and point.high is not None:
            # An interval that reaches below zero is cut at the bottom of the figure.
            axes.plot([point.x, point.x], [max(point.low, 1e-12), point.high], color=colour, linewidth=1.2)
        axes.plot(
            [point.x] * len(point.seeds), point.seeds, ".", color=colour, alpha=0.35, markersize=5, markeredgewidth=0
        )
