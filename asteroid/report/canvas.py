"""Axes, points and PNG output for all figures, without pyplot and its global state.

The colours are those of Okabe and Ito, for colour-blind people.
"""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

BLUE, ORANGE, GREEN, VERMILION, PURPLE, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#777777"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)

MOST_POINTS = 20_000
"""Largest number of points in a scatter plot; more make no visible difference."""

COLOURS = 64
"""Number of colours of a PNG: enough for a few colours with their smooth edges."""

Arrays = Sequence[npt.ArrayLike]
"""For each frame (N, 3)."""


def new_axes(xlabel: str, ylabel: str, *, size: tuple[float, float] = (5.0, 3.8)) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; ``size`` in inches."""
    figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def to_png(figure: Figure) -> bytes:
    """The figure as PNG; equal data give equal bytes."""
    from PIL import Image

    buffer, small = io.BytesIO(), io.BytesIO()
    # Without the software tag, which contains a version.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    # A third of the bytes.
    Image.open(buffer).convert("RGB").quantize(COLOURS).save(small, "PNG", optimize=True)
    return small.getvalue()


def plain_numbers(axis: Axis, values: Sequence[float] | None = None) -> None:
    """Ticks of a logarithmic axis as plain numbers, at ``values`` if given."""
    if values is not None:
        axis.set_ticks(list(values))
        axis.set_minor_locator(NullLocator())
    else:
        low, high = sorted(axis.get_view_interval())
        # Over more than three decades, labels between powers of ten would overlap.
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1000 * low else (1.0,), numticks=12))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))


def tick_label(value: float) -> str:
    """A round number without an exponent.

    >>> tick_label(20000), tick_label(0.00005)
    ('20,000', '0.00005')
    """
    return f"{value:,g}" if value >= 1 else np.format_float_positional(value, 3, fractional=False, trim="-")


def legend_above(axes: Axes, *, columns: int = 3) -> None:
    """Put the legend above the axes, where it hides no data."""
    axes.legend(frameon=False, fontsize=9, ncols=columns, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def flatten(arrays: Arrays) -> npt.NDArray[np.float64]:
    """All components of all frames in one array."""
    return np.concatenate([np.asarray(a, dtype=float).ravel() for a in arrays])


def draw_points(
    axes: Axes, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], name: str, colour: str, marker: str
) -> None:
    """Draw points without a line, thinned to :data:`MOST_POINTS`."""
    every = -(-len(x) // MOST_POINTS)
    axes.plot(
        x[::every],
        y[::every],
        linestyle="none",
        marker=marker,
        markersize=4,
        markeredgewidth=0,
        alpha=0.5,
        color=colour,
        label=name,
    )


def draw_diagonal(axes: Axes) -> None:
    """Draw the diagonal and the legend, and give both axes the same range."""
    limits = axes.dataLim
    low, high = min(limits.x0, limits.y0), max(limits.x1, limits.y1)
    pad = 0.04 * (high - low) or 1.0
    axes.plot([low - pad, high + pad], [low - pad, high + pad], color=GREY, linewidth=1, zorder=0)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(low - pad, high + pad)
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=9, markerscale=1.5)
