"""The figures of molecular dynamics, each a PNG as bytes.

They are drawn from the key ``dynamics`` of a certificate's JSON, which :class:`asteroid.validation.dynamics.Dynamics`
describes. :mod:`asteroid.report.html` puts them into the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asteroid.report.canvas import BLUE, CYCLE, ORANGE, VERMILION, new_axes, to_png


def survival_curves(dynamics: Mapping[str, Any]) -> bytes:
    """The part of the NVT replicas that survive, against time (ps), with 95 % bands; one curve a temperature."""
    figure, axes = new_axes("time (ps)", "surviving replicas (%)")
    for index, at in enumerate(dynamics["survival"]):
        colour, found = CYCLE[index % len(CYCLE)], at["survival"]
        times = [0.0, *found["times"], found["until"]]
        part = _steps(1.0, found["surviving"])
        name = f"{at['temperature']:.0f} K, {found['replicas']} replicas"
        axes.step(times, part, where="post", color=colour, linewidth=1.8, label=name)
        low, high = _steps(found["first_low"], found["low"]), _steps(1.0, found["high"])
        axes.fill_between(times, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
    axes.set_ylim(-3, 103)
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    return to_png(figure)


def nve_energies(dynamics: Mapping[str, Any], atoms: int) -> bytes:
    """Total energy of the NVE trajectories at both time steps from its mean, meV/atom, with the fitted drifts."""
    figure, axes = new_axes("time (ps)", "total energy − mean (meV/atom)")
    pairs = ((dynamics["nve"], ORANGE, VERMILION), (dynamics["nve_half"], BLUE, "black"))
    for trajectory, colour, line in pairs:
        times = np.array(trajectory["times"], dtype=float) / 1000
        energies = np.array(trajectory["total_energies"], dtype=float)
        if not len(times):
            continue
        axes.plot(
            times,
            1000 * (energies - energies.mean()) / atoms,
            color=colour,
            linewidth=0.9,
            label=f"time step {trajectory['timestep']:g} fs",
        )
        if trajectory["drift"] is not None:
            drift = 1000 * trajectory["drift"]
            axes.plot(
                times,
                drift * (times - times.mean()),
                color=line,
                linestyle="--",
                label=f"drift {drift:.2g} meV/atom/ps",
            )
        if trajectory["reason"]:
            axes.axvline(times[-1], color=colour, linestyle=":", label="ended here")
    if axes.lines:
        # Above the axes: the oscillations fill them.
        axes.legend(frameon=False, fontsize=9, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return to_png(figure)


def _steps(first: float, later: Sequence[float]) -> list[float]:
    """Per cent after each step, and once more at the end."""
    values = [first, *later]
    return [100 * value for value in [*values, values[-1]]]
