"""Figures of the molecular dynamics of a certificate (:class:`asteroid.validation.dynamics.Dynamics`), PNG as bytes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from asteroid.quantities import format_number
from asteroid.report.canvas import BLUE, CYCLE, ORANGE, VERMILION, legend_above, new_axes, to_png
from asteroid.store.records import Floats
from asteroid.validation.dynamics import Dynamics, Trajectory


def survival_curves(dynamics: Dynamics) -> bytes:
    """Surviving part of the NVT replicas against time (ps), with 95% bands, for each temperature."""
    figure, axes = new_axes("time (ps)", "surviving replicas (%)")
    for index, at in enumerate(dynamics.survival):
        colour, found = CYCLE[index % len(CYCLE)], at.survival
        times = [0.0, *found.times, found.until]
        part = _steps(1.0, found.surviving)
        name = f"{at.temperature:.0f} K, {found.replicas} replicas"
        # Different dashes, because curves may coincide.
        dashes = ("solid", "dashed", "dotted")[index % 3]
        axes.step(times, part, where="post", color=colour, linewidth=1.8, linestyle=dashes, label=name)
        low, high = _steps(found.first_low, found.low), _steps(1.0, found.high)
        axes.fill_between(times, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
    axes.set_ylim(-3, 103)
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    return to_png(figure)


def nve_energies(dynamics: Dynamics, atoms: int) -> bytes:
    """Deviation of the total energy from its mean in both NVE trajectories, meV/atom, with the fitted drifts."""
    figure, axes = new_axes("time (ps)", "total energy − mean (meV/atom)")
    pairs = ((dynamics.nve, ORANGE, VERMILION), (dynamics.nve_half, BLUE, "black"))
    for trajectory, colour, line in pairs:
        times, energies = trajectory.times / 1000, trajectory.total_energies
        if not len(times):
            continue
        axes.plot(
            times,
            1000 * (energies - energies.mean()) / atoms,
            color=colour,
            linewidth=0.9,
            label=f"time step {trajectory.timestep:g} fs",
        )
        if trajectory.drift is not None:
            drift = 1000 * trajectory.drift
            axes.plot(
                times,
                drift * (times - times.mean()),
                color=line,
                linestyle="--",
                label=f"drift {format_number(drift, 2)} meV/atom/ps",
            )
        if trajectory.reason:
            axes.axvline(times[-1], color=colour, linestyle=":", label="ended here")
    if axes.lines:
        legend_above(axes, columns=2)  # the oscillations fill the axes
    return to_png(figure)


def nvt_temperatures(trajectories: Sequence[Trajectory]) -> bytes:
    """Temperatures of the NVT replicas, see :func:`draw_temperatures`."""
    figure, axes = new_axes("time (ps)", "temperature (K)")
    draw_temperatures(axes, trajectories)
    return to_png(figure)


def draw_temperatures(axes: Axes, trajectories: Sequence[Trajectory]) -> None:
    """For each target temperature (dashed) mean and middle 80% of its replicas; crosses mark failures."""
    targets = sorted({trajectory.temperature for trajectory in trajectories})
    failed = []
    for index, target in enumerate(targets):
        colour = CYCLE[index % len(CYCLE)]
        replicas = [trajectory for trajectory in trajectories if trajectory.temperature == target]
        longest = max((trajectory.times for trajectory in replicas), key=len)
        kelvin = np.full((len(replicas), len(longest)), np.nan)
        for row, trajectory in zip(kelvin, replicas, strict=True):
            row[: len(trajectory.temperatures)] = trajectory.temperatures
            if trajectory.reason and len(trajectory.times):
                failed.append((trajectory.times[-1] / 1000, trajectory.temperatures[-1], colour))
        axes.axhline(target, color=colour, linestyle="--", linewidth=1)
        if len(longest):
            times = longest / 1000
            low, high = np.nanpercentile(kelvin, [10, 90], axis=0)
            axes.fill_between(times, low, high, color=colour, alpha=0.2, linewidth=0)
            name = f"{target:.0f} K" + (f", mean of {len(replicas)}" if len(replicas) > 1 else "")
            axes.plot(times, np.nanmean(kelvin, axis=0), color=colour, linewidth=1.5, label=name)
    for number, (time, last, colour) in enumerate(failed):
        label = "_nolegend_" if number else "ended here"
        axes.plot(time, last, marker="X", linestyle="none", color=colour, markersize=10, label=label)
    axes.set_ylim(bottom=0)
    if axes.get_legend_handles_labels()[1]:
        legend_above(axes)


def _steps(first: float, later: Floats) -> list[float]:
    """Percentages after each step, the last one repeated for the end of the axis."""
    values = [first, *later]
    return [100 * value for value in [*values, values[-1]]]
