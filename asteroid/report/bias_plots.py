"""Figures of the bias of the cheap level and of the weights, each a PNG as bytes.

The data come from :mod:`asteroid.training.diagnostics`; reports of models and of comparisons show them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from asteroid.report.canvas import (
    BLUE,
    GREY,
    ORANGE,
    VERMILION,
    Arrays,
    draw_diagonal,
    draw_points,
    flatten,
    new_axes,
    plain_numbers,
    to_png,
)
from asteroid.store.models import Weights


def diagnostic_figures(diagnostics: Mapping[str, Any]) -> dict[str, bytes]:
    """The available figures of ``histogram``, ``gamma`` and ``estimate``."""
    figures = {}
    if weights := diagnostics["weights"]:
        figures["histogram"] = weight_histogram(weights)
        if weights["candidates"]:
            figures["gamma"] = gamma_curve(weights)
    if estimate := diagnostics["estimate"]:
        figures["estimate"] = estimate_scatter(estimate)
    return figures


def bias_scatter(cheap: Arrays, accurate: Arrays, levels: tuple[str, str]) -> bytes:
    """Cheap against accurate force components of the same frames, eV/Å.

    Args:
        cheap, accurate: for each frame (N, 3) eV/Å.
        levels: names of both.
    """
    figure, axes = new_axes(f"{levels[1]} force component (eV/Å)", f"{levels[0]} (eV/Å)")
    draw_points(axes, flatten(accurate), flatten(cheap), "cheap labels", ORANGE, "o")
    draw_diagonal(axes)
    return to_png(figure)


def estimate_scatter(estimate: Mapping[str, Any]) -> bytes:
    """Estimated against true bias of frames that did not train the teacher, meV/Å."""
    figure, axes = new_axes("true bias of a frame (meV/Å)", "estimated by the teacher (meV/Å)")
    true, estimated = (1000 * np.array(estimate[name]) for name in ("true", "estimated"))
    draw_points(axes, true, estimated, "frames", BLUE, "o")
    draw_diagonal(axes)
    return to_png(figure)


def weight_histogram(weights: Mapping[str, Any]) -> bytes:
    """Histogram of the weights of the cheap frames."""
    figure, axes = new_axes("weight of a cheap frame (mean 1)", "frames")
    edges, counts = np.array(weights["histogram"]["edges"]), weights["histogram"]["counts"]
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE, edgecolor="white", linewidth=0.5)
    axes.axvline(1.0, color=GREY, linestyle="--", linewidth=1)
    return to_png(figure)


def weight_against_disagreement(weights: Weights) -> bytes:
    """Weight of each cheap frame against its disagreement with the teacher, meV/Å."""
    figure, axes = new_axes("mean |F_cheap − F_teacher| of a frame (meV/Å)", "weight")
    draw_points(axes, 1000 * np.array(weights.disagreement), np.array(weights.values), "", BLUE, "o")
    axes.set_ylim(bottom=0)
    return to_png(figure)


def gamma_curve(weights: Mapping[str, Any]) -> bytes:
    """Held-out error of the trial with each γ; the dashed line is the trial without weights."""
    forces = all(c["force_mae"] is not None for c in weights["candidates"])
    key, label = ("force_mae", "force MAE (meV/Å)") if forces else ("energy_mae", "energy MAE (meV/atom)")
    figure, axes = new_axes("γ (meV/Å)", f"held-out {label} of the trial")
    finite = sorted((1000 * c["gamma"], 1000 * c[key]) for c in weights["candidates"] if c["gamma"] is not None)
    if finite:
        gammas, errors = zip(*finite, strict=True)
        axes.plot(gammas, errors, color=BLUE, marker="o", label="weighted")
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
    for candidate in weights["candidates"]:
        if candidate["gamma"] is None:
            axes.axhline(1000 * candidate[key], color=VERMILION, linestyle="--", label="no weights (γ = ∞)")
    axes.legend(frameon=False, fontsize=9)
    return to_png(figure)
