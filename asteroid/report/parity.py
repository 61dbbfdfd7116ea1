"""Parity plots as inline SVG: predicted against accurate values, with the errors below, one path for each frame.

The paths name the frames that :mod:`asteroid.report.structures` collects, so ``viewer.js`` can open the structure of a
point. Colours come from the style sheet of the page, which makes the plots legible on dark pages and in print.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from asteroid.report.canvas import tick_label
from asteroid.report.structures import Judged, Structures
from asteroid.store.models import Card
from asteroid.store.records import Floats
from asteroid.strategies import BASELINE
from asteroid.validation.certificate import Certificate

WIDTH, LEFT, RIGHT = 420.0, 66.0, 14.0
TOP, PARITY, GAP, ERROR, BOTTOM = 8.0, 210.0, 16.0, 84.0, 42.0
"""Heights of the two panels and of what is around them."""


@dataclass(frozen=True)
class Quantity:
    """What a plot is about.

    Args:
        name, unit: of the values.
        error_unit, scale: unit of the errors, and its factor.
    """

    name: str
    unit: str
    error_unit: str
    scale: float


FORCE = Quantity("force component", "eV/Å", "meV/Å", 1000.0)
ENERGY = Quantity("energy − mean", "meV/atom", "meV/atom", 1.0)


@dataclass(frozen=True, eq=False)
class Points:
    """Values of one frame.

    Args:
        key: of the frame; "" for points that open nothing.
        accurate, predicted: (K,) in the unit of the quantity.
    """

    key: str
    accurate: Floats
    predicted: Floats


def report_parity(certificate: Certificate, card: Card, shown: Structures) -> dict[str, Markup]:
    """The available plots of a report: ``forces``, ``energies``, ``own_forces``."""
    # A scratch model is not compared with itself.
    scratch = certificate.scratch_errors if card.strategy != BASELINE else None
    rows = {frame_id: row for row, frame_id in enumerate(scratch.frame_ids)} if scratch else {}
    mean = float((certificate.errors.reference_energies / certificate.errors.atoms).mean())

    def opens(one: Judged) -> str:
        return one.key if one.key in shown.scenes else ""

    def forces(frames: Sequence[Judged]) -> list[Points]:
        return [
            Points(opens(one), one.accurate_forces.ravel(), one.predicted_forces.ravel())
            for one in frames
            if one.accurate_forces is not None
        ]

    def energies(one: Judged, predicted: float, key: str) -> Points:
        atoms = len(one.predicted_forces)
        accurate, found = (np.array([1000 * (value / atoms - mean)]) for value in (one.accurate_energy, predicted))
        return Points(key, accurate, found)

    plots = {}
    if tested := forces(shown.tested):
        others = [
            Points("", one.accurate_forces.ravel(), scratch.predicted_forces[rows[one.frame_id]].ravel())
            for one in shown.tested
            if scratch and one.accurate_forces is not None
        ]
        plots["forces"] = parity_svg(FORCE, tested, others)
    plots["energies"] = parity_svg(
        ENERGY,
        [energies(one, one.predicted_energy, opens(one)) for one in shown.tested],
        [energies(one, scratch.predicted_energies[rows[one.frame_id]], "") for one in shown.tested if scratch],
    )
    if own := forces(shown.own):
        plots["own_forces"] = parity_svg(FORCE, own)
    return plots


def parity_svg(quantity: Quantity, frames: Sequence[Points], others: Sequence[Points] = ()) -> Markup:
    """Predicted against accurate values above, errors below.

    Args:
        frames: at least one; the last is drawn on top.
        others: of another model, drawn below those of ``frames``.
    """
    every = [*others, *frames]
    accurate = np.concatenate([one.accurate for one in every])
    predicted = np.concatenate([one.predicted for one in every])
    ends = _padded(np.concatenate([accurate, predicted]))
    bottom = TOP + PARITY + GAP + ERROR
    x, y = _Axis(ends, LEFT, WIDTH - RIGHT), _Axis(ends, TOP + PARITY, TOP)
    error = _Axis(_padded(np.append(quantity.scale * (predicted - accurate), 0.0)), bottom, bottom - ERROR)

    def path(points: Points) -> str:
        across = x(points.accurate)
        both = (y(points.predicted), error(quantity.scale * (points.predicted - points.accurate)))
        return "".join(f"M{a:.1f} {b:.1f}h0" for down in both for a, b in zip(across, down, strict=True))

    middle, right = (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT
    parts = [
        _grid(x, y, TOP, TOP + PARITY),
        _grid(x, error, bottom - ERROR, bottom),
        *(f'<text x="{x(t):.1f}" y="{bottom + 15}" text-anchor="middle">{_number(t)}</text>' for t in x.ticks),
        f'<path class="line" d="M{LEFT} {TOP + PARITY}L{right} {TOP}M{LEFT} {error(0.0):.1f}H{right}"/>',
        f'<text x="{middle}" y="{bottom + 35}" text-anchor="middle">accurate {quantity.name} ({quantity.unit})</text>',
        _upright(TOP + PARITY / 2, f"predicted ({quantity.unit})"),
        _upright(bottom - ERROR / 2, f"error ({quantity.error_unit})"),
        *(['<path class="others" d="', *map(path, others), '"/>'] if others else []),
        *(f'<path class="point"{_opens(one)} d="{path(one)}"/>' for one in frames),
    ]
    label = f"Predicted against accurate {quantity.name}, and errors"
    start = f'<svg class="parity" viewBox="0 0 {WIDTH:g} {bottom + BOTTOM:g}" role="img" aria-label="{label}">'
    # Nothing here is from elsewhere: numbers, units, and keys such as ``test-3``.
    return Markup("".join([start, *parts, "</svg>"]))


class _Axis:
    """Linear scale from values to places in the picture."""

    def __init__(self, ends: tuple[float, float], start: float, stop: float) -> None:
        self._ends, self._start, self._stop = ends, start, stop
        ticks = MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(*ends)
        self.ticks = [float(tick) for tick in ticks if ends[0] <= tick <= ends[1]]

    def __call__(self, value: npt.ArrayLike) -> Floats:
        low, high = self._ends
        return self._start + (np.asarray(value, dtype=np.float64) - low) / (high - low) * (self._stop - self._start)


def _padded(values: Floats) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = 0.04 * (high - low) or 1.0
    return low - pad, high + pad


def _grid(x: _Axis, y: _Axis, top: float, bottom: float) -> str:
    lines = "".join(f"M{x(t):.1f} {top}V{bottom}" for t in x.ticks)
    lines += "".join(f"M{LEFT} {y(t):.1f}H{WIDTH - RIGHT}" for t in y.ticks)
    labels = [f'<text x="{LEFT - 5}" y="{y(t) + 4:.1f}" text-anchor="end">{_number(t)}</text>' for t in y.ticks]
    return f'<path class="grid" d="{lines}"/>' + "".join(labels)


def _opens(points: Points) -> str:
    return f' data-show="{points.key}"' if points.key else ""


def _upright(middle: float, text: str) -> str:
    return f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{text}</text>'


def _number(value: float) -> str:
    """A tick's label; rounded, because ticks are sums of floating-point steps."""
    value = float(f"{value:.6g}")
    return f"{'−' if value < 0 else ''}{tick_label(abs(value))}" if value else "0"
