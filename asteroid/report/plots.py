"""The figures of a report, each a PNG as bytes.

They are drawn from the plain JSON of :mod:`asteroid.validation.certificate` and of model cards, without pyplot and its
global state, in colours that colour-blind people can tell apart (Okabe and Ito). :mod:`asteroid.report.html` puts them
into the page.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

BLUE, ORANGE, GREEN, VERMILION, PURPLE, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#777777"
_CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)

MOST_POINTS = 20_000
"""Points drawn in a scatter at most: more change nothing that the eye can see."""

Arrays = Sequence[Sequence[Sequence[float]]]


def force_parity(errors: Mapping[str, Any], scratch: Mapping[str, Any] | None) -> bytes:
    """Predicted against accurate force components of the frames whose accurate label has forces, eV/Å."""
    figure, axes = _axes("accurate force component (eV/Å)", "predicted (eV/Å)")
    for name, found, colour, marker in _both(errors, scratch):
        pairs = zip(found["reference_forces"], found["predicted_forces"], strict=True)
        reference, predicted = zip(*[pair for pair in pairs if pair[0] is not None], strict=True)
        _scatter(axes, _flat(reference), _flat(predicted), name, colour, marker)
    _diagonal(axes)
    return _png(figure)


def energy_parity(errors: Mapping[str, Any], scratch: Mapping[str, Any] | None) -> bytes:
    """Predicted against accurate energies, meV/atom from the mean accurate energy."""
    figure, axes = _axes("accurate energy, from its mean (meV/atom)", "predicted (meV/atom)")
    atoms = np.array(errors["atoms"])
    per_atom = np.array(errors["reference_energies"]) / atoms
    for name, found, colour, marker in _both(errors, scratch):
        reference, predicted = (np.array(found[f"{kind}_energies"]) / atoms for kind in ("reference", "predicted"))
        _scatter(axes, 1000 * (reference - per_atom.mean()), 1000 * (predicted - per_atom.mean()), name, colour, marker)
    _diagonal(axes)
    return _png(figure)


def bias_scatter(cheap: Arrays, accurate: Arrays, levels: tuple[str, str]) -> bytes:
    """Cheap against accurate force components of the frames that have both, eV/Å."""
    figure, axes = _axes(f"{levels[1]} force component (eV/Å)", f"{levels[0]} (eV/Å)")
    _scatter(axes, _flat(accurate), _flat(cheap), "cheap labels", ORANGE, "o")
    _diagonal(axes)
    return _png(figure)


def weight_histogram(weights: Mapping[str, Any]) -> bytes:
    """How the weights of the cheap frames are spread."""
    figure, axes = _axes("weight of a cheap frame (mean 1)", "frames")
    values = np.array(weights["values"])
    # Equal weights have no width to divide into bins.
    edges = np.linspace(0, max(float(values.max()), 1.0) * 1.02, 41)
    axes.hist(values, bins=edges.tolist(), color=BLUE, edgecolor="white", linewidth=0.5)
    axes.axvline(1.0, color=GREY, linestyle="--", linewidth=1)
    return _png(figure)


def weight_against_disagreement(weights: Mapping[str, Any]) -> bytes:
    """Each cheap frame's weight against its disagreement with the teacher, eV/Å."""
    figure, axes = _axes("mean |F_cheap − F_teacher| of a frame (eV/Å)", "weight")
    _scatter(axes, np.array(weights["disagreement"]), np.array(weights["values"]), "", BLUE, "o")
    axes.set_ylim(bottom=0)
    return _png(figure)


def learning_curves(card: Mapping[str, Any], scratch: Mapping[str, Any] | None) -> bytes:
    """Held-out error (of energies where no held-out label has forces) against steps; trials of γ in grey."""
    quantity = "energy MAE" if card["valid_force_mae"] is None else "force MAE"
    unit = "eV/atom" if card["valid_force_mae"] is None else "eV/Å"
    figure, axes = _axes("training step", f"{quantity} on held-out frames ({unit})")
    axes.set_yscale("log")
    for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        set_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    start, colours, trial = 0, iter(_CYCLE), "γ trials"
    for stage, steps, errors in _stages(card):
        if stage.startswith("gamma"):
            axes.plot(steps, errors, color=GREY, linewidth=1, alpha=0.7, marker=".", markersize=4, label=trial)
            trial = "_nolegend_"
            continue
        axes.plot(steps + start, errors, color=next(colours, GREY), label=stage, marker=".", markersize=4)
        start += int(steps[-1])
    if scratch:
        for stage, steps, errors in _stages(scratch):
            axes.plot(steps, errors, color=ORANGE, linestyle="--", label=f"{stage} (comparison)")
    axes.legend(frameon=False, fontsize=9)
    return _png(figure)


def nve_energy(trajectory: Mapping[str, Any], atoms: int) -> bytes:
    """Total energy of the NVE trajectory from its start, meV/atom, with the fitted drift."""
    figure, axes = _axes("time (ps)", "total energy − start (meV/atom)")
    times = np.array(trajectory["times"], dtype=float) / 1000
    energies = np.array(trajectory["total_energies"], dtype=float)
    if len(times):
        axes.plot(times, 1000 * (energies - energies[0]) / atoms, color=BLUE, linewidth=1)
    if trajectory["drift"] is not None:
        line = 1000 * trajectory["drift"] * times
        centre = 1000 * (energies - energies[0]).mean() / atoms - line.mean()
        axes.plot(times, line + centre, color=VERMILION, linestyle="--", label="drift")
        axes.legend(frameon=False, fontsize=9)
    return _png(figure)


def nvt_temperature(trajectories: Sequence[Mapping[str, Any]]) -> bytes:
    """Temperature of each NVT trajectory with its target; a cross marks where one failed."""
    figure, axes = _axes("time (ps)", "temperature (K)")
    for index, trajectory in enumerate(trajectories):
        colour = _CYCLE[index % len(_CYCLE)]
        times = np.array(trajectory["times"], dtype=float) / 1000
        kelvin = np.array(trajectory["temperatures"], dtype=float)
        axes.plot(times, kelvin, color=colour, linewidth=0.9, label=f"{trajectory['temperature']:.0f} K")
        axes.axhline(trajectory["temperature"], color=colour, linestyle="--", linewidth=1)
        if trajectory["reason"] and len(times):
            axes.plot(times[-1], kelvin[-1], marker="X", color=colour, markersize=10, label="ended here")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    return _png(figure)


def cost_bar(costs: Sequence[tuple[str, float]]) -> bytes:
    """Core-seconds by stage."""
    figure, axes = _axes("core-seconds (logarithmic)", "", size=(7.2, 0.5 + 0.45 * len(costs)))
    names, seconds = [name for name, _ in costs], [seconds for _, seconds in costs]
    bars = axes.barh(range(len(costs)), seconds, color=[_CYCLE[i % len(_CYCLE)] for i in range(len(costs))])
    axes.set_xscale("log")
    # Room for the numbers right of the longest bar, and a start below the shortest.
    positive = [s for s in seconds if s > 0] or [1.0]
    axes.set_xlim(min(positive) / 5, max(positive) * 8)
    axes.bar_label(bars, labels=[f"{s:,.3g}" if s < 1000 else f"{s:,.0f}" for s in seconds], padding=4, fontsize=9)
    axes.set_yticks(range(len(costs)), names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    return _png(figure)


def _axes(xlabel: str, ylabel: str, *, size: tuple[float, float] = (5.0, 3.8)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Figure.savefig without pyplot uses Agg; no software tag, so that equal data give equal bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _both(
    errors: Mapping[str, Any], scratch: Mapping[str, Any] | None
) -> list[tuple[str, Mapping[str, Any], str, str]]:
    """The comparison first, so that the model is drawn on top of it."""
    found = [("accurate labels alone", scratch, ORANGE, "s")] if scratch else []
    return [*found, ("this model", errors, BLUE, "o")]


def _stages(card: Mapping[str, Any]) -> list[tuple[str, npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    error = "valid_energy_mae" if card["valid_force_mae"] is None else "valid_force_mae"
    names = dict.fromkeys(line["stage"] for line in card["history"])
    rows = {name: [line for line in card["history"] if line["stage"] == name] for name in names}
    return [
        (name, np.array([r["step"] for r in lines]), np.array([r[error] for r in lines], dtype=float))
        for name, lines in rows.items()
    ]


def _flat(arrays: Arrays) -> npt.NDArray[np.float64]:
    return np.concatenate([np.asarray(a, dtype=float).ravel() for a in arrays])


def _scatter(
    axes: Axes, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], name: str, colour: str, marker: str
) -> None:
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


def _diagonal(axes: Axes) -> None:
    """The line on which both agree, equal ranges, and the legend."""
    limits = axes.dataLim
    low, high = min(limits.x0, limits.y0), max(limits.x1, limits.y1)
    pad = 0.04 * (high - low) or 1.0
    axes.plot([low - pad, high + pad], [low - pad, high + pad], color=GREY, linewidth=1, zorder=0)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(low - pad, high + pad)
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=9, markerscale=1.5)
