"""The figures of the bias of the cheap level and of the weights, each a PNG as bytes.

Drawn from what :mod:`asteroid.training.diagnostics` finds; the reports of models and comparisons show them.
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
    """The figures for which there are data: ``histogram``, ``gamma`` and ``estimate``."""
    figures = {}
    if weights := diagnostics["weights"]:
        figures["histogram"] = weight_histogram(weights)
        if weights["candidates"]:
            figures["gamma"] = gamma_curve(weights)
    if estimate := diagnostics["estimate"]:
        figures["estimate"] = estimate_scatter(estimate)
    return figures


def bias_scatter(cheap: Arrays, accurate: Arrays, levels: tuple[str, str]) -> bytes:
    """Cheap against accurate force components of the frames that have both, eV/Å."""
    figure, axes = new_axes(f"{levels[1]} force component (eV/Å)", f"{levels[0]} (eV/Å)")
    draw_points(axes, flatten(accurate), flatten(cheap), "cheap labels", ORANGE, "o")
    draw_diagonal(axes)
    return to_png(figure)


def estimate_scatter(estimate: Mapping[str, Any]) -> bytes:
    """Estimated against true bias of frames that did not train the teacher, eV/Å."""
    figure, axes = new_axes("true bias of a frame (eV/Å)", "estimated by the teacher (eV/Å)")
    draw_points(axes, np.array(estimate["true"]), np.array(estimate["estimated"]), "frames", BLUE, "o")
    draw_diagonal(axes)
    return to_png(figure)


def weight_histogram(weights: Mapping[str, Any]) -> bytes:
    """How the weights of the cheap frames are spread."""
    figure, axes = new_axes("weight of a cheap frame (mean 1)", "frames")
    edges, counts = np.array(weights["histogram"]["edges"]), weights["histogram"]["counts"]
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE, edgecolor="white", linewidth=0.5)
    axes.axvline(1.0, color=GREY, linestyle="--", linewidth=1)
    return to_png(figure)


def weight_against_disagreement(weights: Weights) -> bytes:
    """Each cheap frame's weight against its disagreement with the teacher, eV/Å; of a card's weights."""
    figure, axes = new_axes("mean |F_cheap − F_teacher| of a frame (eV/Å)", "weight")
    draw_points(axes, np.array(weights.disagreement), np.array(weights.values), "", BLUE, "o")
    axes.set_ylim(bottom=0)
    return to_png(figure)


def gamma_curve(weights: Mapping[str, Any]) -> bytes:
    """Held-out error of the trial of each γ; the dashed line is the trial without weights."""
    forces = all(c["force_mae"] is not None for c in weights["candidates"])
    key, label = ("force_mae", "force MAE (eV/Å)") if forces else ("energy_mae", "energy MAE (eV/atom)")
    figure, axes = new_axes("γ (eV/Å)", f"held-out {label} of the trial")
    finite = sorted((c["gamma"], c[key]) for c in weights["candidates"] if c["gamma"] is not None)
    if finite:
        gammas, errors = zip(*finite, strict=True)
        axes.plot(gammas, errors, color=BLUE, marker="o", label="weighted")
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
    for candidate in weights["candidates"]:
        if candidate["gamma"] is None:
            axes.axhline(candidate[key], color=VERMILION, linestyle="--", label="no weights (γ = ∞)")
    axes.legend(frameon=False, fontsize=9)
    return to_png(figure)
