"""Molecular dynamics with a model: does it conserve energy, and does the molecule survive.

A model can have small errors on held-out frames and still hold a hole in its energy surface that a trajectory finds; so
a certificate needs both. A trajectory that fails is a result with a time and a reason, not an exception.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asteroid.bonds import BONDED, bonded, radius_sums
from asteroid.configuration import Configuration
from asteroid.settings import ValidationSettings
from asteroid.units import BOLTZMANN, FEMTOSECOND
from asteroid.vibrations import external_modes

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""

BROKEN = 1.75
"""A bond longer than this times the sum of the radii is broken: 1.87 Å for C–H, beyond any vibration below 1000 K."""
FUSED = 0.5
"""Atoms closer than this times the sum of the radii have fused: 0.54 Å for C–H, hundreds of eV uphill in reality."""
RUNAWAY = 5.0
"""The temperature ran away when it stays above this times its target for RUNAWAY_TIME: noise that large never lasts."""
RUNAWAY_TIME = 50.0
"""fs"""
FRICTION = 0.01
"""1/fs, of the Langevin thermostat: it equilibrates within the first tenth of a picosecond or two."""
SAMPLES = 400
"""Points at most in a recorded series: enough for a plot."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One trajectory of a model.

    Args:
        ensemble: ``nve`` (velocity Verlet) or ``nvt`` (Langevin).
        temperature: K, of the thermostat, or of the starting velocities.
        timestep: fs.
        seed: of the velocities and the thermostat.
        requested, survived: ps.
        reason: why it ended early; None for a stable trajectory.
        drift: eV/atom/ps, slope of the total energy; None unless ``nve`` and stable.
        fluctuation: eV/atom, standard deviation about that slope; None with the drift.
        mean_temperature: K, over the second half of the steps.
        steps_per_second: speed on the machine that ran it.
        times: (K,) fs; the series are thinned for plots.
        total_energies: (K,) eV, kinetic and potential.
        temperatures: (K,) K.
    """

    ensemble: Literal["nve", "nvt"]
    temperature: float
    timestep: float
    seed: int
    requested: float
    survived: float
    reason: str | None
    drift: float | None
    fluctuation: float | None
    mean_temperature: float | None
    steps_per_second: float
    times: Floats
    total_energies: Floats
    temperatures: Floats

    @property
    def stable(self) -> bool:
        return self.reason is None


@dataclass(frozen=True)
class Dynamics:
    """All trajectories of a validation: one NVE at the highest temperature, one NVT at each."""

    nve: Trajectory
    nvt: tuple[Trajectory, ...]

    @property
    def stable_fraction(self) -> float:
        """Part of all trajectories that survived."""
        trajectories = (self.nve, *self.nvt)
        return sum(t.stable for t in trajectories) / len(trajectories)


def run_dynamics(
    calculator: Any, start: Configuration, settings: ValidationSettings, *, on_progress: Progress | None = None
) -> Dynamics:
    """Run one NVE trajectory at the highest temperature and one NVT trajectory at each.

    Args:
        calculator: an ASE calculator.
        start: usually the model's minimum.
        on_progress: called with the steps done and the steps in all.
    """
    plan: list[tuple[Literal["nve", "nvt"], float, float]] = [("nve", max(settings.temperatures), settings.nve_ps)]
    plan += [("nvt", temperature, settings.nvt_ps) for temperature in settings.temperatures]
    steps = [_steps(duration, settings.timestep) for _, _, duration in plan]
    trajectories = []
    for index, (ensemble, temperature, duration) in enumerate(plan):
        trajectories.append(
            run_trajectory(
                calculator,
                start,
                ensemble=ensemble,
                temperature=temperature,
                timestep=settings.timestep,
                duration=duration,
                seed=settings.seed + index,
                on_progress=_shifted(on_progress, sum(steps[:index]), sum(steps)),
            )
        )
    return Dynamics(trajectories[0], tuple(trajectories[1:]))


def run_trajectory(
    calculator: Any,
    start: Configuration,
    *,
    ensemble: Literal["nve", "nvt"],
    temperature: float,
    timestep: float,
    duration: float,
    seed: int,
    on_progress: Progress | None = None,
) -> Trajectory:
    """Run one trajectory from Maxwell–Boltzmann velocities without linear and angular momentum.

    Args:
        calculator: an ASE calculator.
        temperature: K.
        timestep: fs.
        duration: ps.
        seed: of the velocities and the thermostat.
        on_progress: called with the steps done and the steps in all.
    """
    from ase.calculators.calculator import CalculatorError
    from ase.md.langevin import Langevin
    from ase.md.verlet import VelocityVerlet

    rng = np.random.default_rng(seed)
    atoms: Any = start.to_atoms()
    atoms.calc = calculator
    freedom = set_velocities(atoms, temperature, rng)
    if ensemble == "nve":
        integrator: Any = VelocityVerlet(atoms, timestep * FEMTOSECOND)
    else:
        # Without fixcm, which ASE deprecates for sampling a wrong distribution; all 3N degrees of freedom then warm up.
        integrator = Langevin(
            atoms,
            timestep * FEMTOSECOND,
            temperature_K=temperature,
            friction=FRICTION / FEMTOSECOND,
            fixcm=False,
            rng=rng,
        )
        freedom = 3 * len(atoms)

    watch = _Watch(start, temperature, timestep)
    steps = _steps(duration, timestep)
    total, kelvin = np.full(steps + 1, np.nan), np.full(steps + 1, np.nan)
    reason: str | None = None
    began, done = time.perf_counter(), 0
    try:
        forces = atoms.get_forces()
        for done in count():
            kinetic = float(atoms.get_kinetic_energy())
            total[done] = kinetic + float(atoms.get_potential_energy())
            kelvin[done] = 2 * kinetic / (freedom * BOLTZMANN) if freedom else 0.0
            reason = watch.failure(atoms.positions, total[done], kelvin[done])
            if reason or done == steps:
                break
            forces = integrator.step(forces)
            if on_progress:
                on_progress(done + 1, steps)
    # What calculators raise at an absurd geometry (an SCF or a neighbour list that fails) ends the trajectory.
    except (CalculatorError, RuntimeError, ValueError, ArithmeticError) as error:
        reason = f"the calculator failed: {' '.join(str(error).split()) or type(error).__name__}"

    recorded = np.flatnonzero(np.isfinite(total) & np.isfinite(kelvin))
    times = recorded * timestep
    fit = None
    if ensemble == "nve" and reason is None:
        fit = energy_drift(times, total[recorded], atoms=len(atoms))
    thin = recorded[:: -(-len(recorded) // SAMPLES) or 1]
    return Trajectory(
        ensemble=ensemble,
        temperature=temperature,
        timestep=timestep,
        seed=seed,
        requested=duration,
        survived=done * timestep / 1000,
        reason=reason,
        drift=fit[0] if fit else None,
        fluctuation=fit[1] if fit else None,
        mean_temperature=float(kelvin[recorded[len(recorded) // 2 :]].mean()) if len(recorded) else None,
        steps_per_second=done / max(time.perf_counter() - began, 1e-9),
        times=np.asarray(thin * timestep, dtype=np.float64),
        total_energies=total[thin],
        temperatures=kelvin[thin],
    )


def energy_drift(times: npt.ArrayLike, total_energies: npt.ArrayLike, *, atoms: int) -> tuple[float, float]:
    """Slope of the total energy, eV/atom/ps, and its standard deviation about that slope, eV/atom.

    Args:
        times: (K,) fs.
        total_energies: (K,) eV.

    >>> drift, fluctuation = energy_drift([0, 1000, 2000], [1.0, 1.2, 1.4], atoms=2)
    >>> round(drift, 9), round(fluctuation, 9)
    (0.1, 0.0)
    """
    picoseconds = np.asarray(times, dtype=np.float64) / 1000
    # An offset of thousands of eV would cost digits in the fit.
    energies = np.asarray(total_energies, dtype=np.float64)
    energies = (energies - energies[0]) / atoms
    slope, intercept = np.polyfit(picoseconds, energies, 1)
    return float(slope), float(np.std(energies - slope * picoseconds - intercept))


def _shifted(on_progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress of one trajectory as progress of all."""
    return on_progress and (lambda done, _: on_progress(before + done, total))


def _steps(duration: float, timestep: float) -> int:
    return max(2, round(1000 * duration / timestep))


def set_velocities(atoms: Any, temperature: float, rng: np.random.Generator) -> int:
    """Give ASE atoms exactly this temperature in K, at rest as a whole; return the degrees of freedom."""
    masses = atoms.get_masses()
    roots = np.repeat(np.sqrt(masses), 3)
    external = external_modes(atoms.positions, masses)
    # In mass-weighted coordinates the rigid motions are a linear space, so what is left after projection has none.
    momenta = rng.standard_normal(roots.size)
    momenta -= external @ (external.T @ momenta)
    freedom = int(roots.size - external.shape[1])
    if freedom == 0:
        momenta[:] = 0.0
    else:
        momenta *= np.sqrt(freedom * BOLTZMANN * temperature / (momenta @ momenta))
    atoms.set_momenta((momenta * roots).reshape(-1, 3))
    return freedom


class _Watch:
    """Says when a trajectory has left what the molecule can do."""

    def __init__(self, start: Configuration, temperature: float, timestep: float) -> None:
        self._symbols = start.symbols
        self._first, self._second = np.triu_indices(len(start.numbers), 1)
        self._radii = radius_sums(start.numbers)[self._first, self._second]
        self._bonded = bonded(start)[self._first, self._second]
        self._limit = RUNAWAY * temperature
        self._patience = round(RUNAWAY_TIME / timestep)
        self._hot = 0

    def failure(self, positions: Floats, energy: float, temperature: float) -> str | None:
        """Why the trajectory must end here, or None."""
        if not (np.isfinite(energy) and np.isfinite(temperature) and np.isfinite(positions).all()):
            return "energy or forces are not finite"
        ratios = self._distances(positions) / self._radii
        if len(fused := np.flatnonzero(ratios < FUSED)):
            return f"atoms fused: {self._pair(fused[0], ratios)}"
        for pair in np.flatnonzero(self._bonded & (ratios > BROKEN)):
            if not self._transferred(pair, ratios):
                return f"bond broken: {self._pair(pair, ratios)}"
        self._hot = self._hot + 1 if temperature > self._limit else 0
        if self._hot > self._patience:
            return f"temperature ran away: above {self._limit:.0f} K for {RUNAWAY_TIME:.0f} fs"
        return None

    def _distances(self, positions: Floats) -> Floats:
        return np.asarray(np.linalg.norm(positions[self._first] - positions[self._second], axis=1))

    def _transferred(self, pair: np.intp, ratios: Floats) -> bool:
        """Whether the hydrogen of this bond now sits on another heavy atom: chemistry (malonaldehyde), no failure."""
        ends = (self._first[pair], self._second[pair])
        near = ratios < BONDED
        for hydrogen in (end for end in ends if self._symbols[end] == "H"):
            partners = np.concatenate(
                [self._second[near & (self._first == hydrogen)], self._first[near & (self._second == hydrogen)]]
            )
            if any(self._symbols[partner] != "H" for partner in partners):
                return True
        return False

    def _pair(self, pair: np.intp, ratios: Floats) -> str:
        i, j = self._first[pair], self._second[pair]
        return f"{self._symbols[i]}{i}–{self._symbols[j]}{j} at {ratios[pair] * self._radii[pair]:.2f} Å"


def unstable(trajectories: Sequence[Trajectory]) -> list[str]:
    """One line for each trajectory that failed: ensemble, temperature, time and reason."""
    return [
        f"{t.ensemble.upper()} at {t.temperature:.0f} K ended after {t.survived:.3f} ps: {t.reason}"
        for t in trajectories
        if not t.stable
    ]
