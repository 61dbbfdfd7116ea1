"""Stability tests by molecular dynamics with a model: energy conservation, and survival of the molecule.

A model with small errors on held-out frames can still have a hole in its energy surface, which MD finds. A failed
trajectory is a result with a time and a reason, not an exception. :mod:`asteroid.simulation` runs the replicas, all NVT
temperatures in one batch; :mod:`asteroid.validation.survival` estimates the surviving part.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.bonds import BONDED, bonded, radius_sums
from asteroid.chemistry.wall import Wall
from asteroid.configuration import Configuration
from asteroid.settings import ValidationSettings
from asteroid.simulation.replicas import Ensemble, Progress, Replica, StopCriterion
from asteroid.store.records import Floats
from asteroid.validation.intervals import quantile
from asteroid.validation.on_policy import statistical_inefficiency
from asteroid.validation.survival import Survival, kaplan_meier

if TYPE_CHECKING:
    from asteroid.simulation.trajectories import StoredTrajectories

BROKEN = 1.75
"""A bond longer than this times the sum of the radii is broken: 1.87 Å for C–H, above all vibrations below 1000 K."""
FUSED = 0.5
"""Atoms closer than this times the sum of the radii have fused: 0.54 Å for C–H, a real energy of hundreds of eV."""
INTERVAL = {"nve": 1.0, "nvt": 5.0}
"""fs between recorded frames. 5 fs are half a period of the fastest stretching vibration; the drift needs more frames,
because the energy of velocity Verlet oscillates."""
SAMPLES = 200
"""Largest number of points in a stored series; they are for plots."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectory:
    """One trajectory, without positions.

    Args:
        ensemble: ``nve`` (velocity Verlet) or ``nvt`` (Langevin).
        temperature: K, of the thermostat, or of the starting velocities.
        timestep: fs.
        seed: of the velocities and the thermostat.
        requested, survived: ps.
        reason: why it ended early; None for a stable trajectory.
        drift: eV/atom/ps, slope of the total energy; None unless ``nve`` and stable.
        drift_error: eV/atom/ps, one-sided 95% error of the slope in each direction; infinite for a short trajectory;
            None without a drift, and in certificates of version 0.1.
        fluctuation: eV/atom, standard deviation of the energy from the fitted line; None without a drift.
        mean_temperature: K, over the second half of the steps.
        times: (K,) fs; the series are thinned for plots.
        total_energies: (K,) eV, kinetic and potential.
        temperatures: (K,) K.
    """

    ensemble: Ensemble
    temperature: float
    timestep: float
    seed: int
    requested: float
    survived: float
    reason: str | None
    drift: float | None
    drift_error: float | None = None
    fluctuation: float | None
    mean_temperature: float | None
    times: Floats
    total_energies: Floats
    temperatures: Floats

    @property
    def stable(self) -> bool:
        return self.reason is None

    @classmethod
    def of(cls, replica: Replica) -> "Trajectory":
        """From a replica, with thinned series."""
        fit = None
        if replica.ensemble == "nve" and replica.stable:
            atoms = replica.positions.shape[1]
            fit = energy_drift(replica.times, replica.total_energies, atoms=atoms)
        count = len(replica.times)
        thin = slice(None, None, -(-count // SAMPLES) or 1)
        return cls(
            ensemble=replica.ensemble,
            temperature=replica.temperature,
            timestep=replica.timestep,
            seed=replica.seed,
            requested=replica.requested,
            survived=replica.survived,
            reason=replica.reason,
            drift=fit[0] if fit else None,
            drift_error=fit[2] if fit else None,
            fluctuation=fit[1] if fit else None,
            mean_temperature=float(replica.temperatures[count // 2 :].mean()) if count else None,
            times=replica.times[thin],
            total_energies=replica.total_energies[thin],
            temperatures=replica.temperatures[thin],
        )


@dataclass(frozen=True, eq=False)
class SurvivalAt:
    """Survival at one temperature.

    Args:
        temperature: K.
        survival: times in ps.
        surviving, low, high: part that survives to the end, with its 95% interval.
    """

    temperature: float
    survival: Survival
    surviving: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Dynamics:
    """All trajectories of a validation; its fields and those of the classes above are keys of the certificate's JSON.

    Args:
        nve: at the highest temperature, with the time step of the settings.
        nve_half: the same start with half the time step. On a smooth energy surface, the fluctuation of velocity Verlet
            falls to a quarter; a drift in both is a defect of the model, not of the integrator.
        nvt: ``replicas`` at each temperature, one temperature after another.
        survival: of the NVT replicas, for each temperature.
        verlet_ratio: fluctuation of ``nve`` divided by that of ``nve_half``, in theory 4; None if one is missing.
        steps_per_second: of all NVT replicas together, on the machine that ran them; None for stored ones.
    """

    nve: Trajectory
    nve_half: Trajectory
    nvt: tuple[Trajectory, ...]
    survival: tuple[SurvivalAt, ...]
    verlet_ratio: float | None
    steps_per_second: float | None


def run_dynamics(
    model: Any,
    start: Configuration,
    settings: ValidationSettings,
    *,
    wall: Wall | None = None,
    stored: "StoredTrajectories | None" = None,
    on_progress: Progress | None = None,
) -> Dynamics:
    """NVE at the highest temperature with two time steps, and NVT replicas at each temperature.

    Args:
        model: a MACE module or its calculator, or any other ASE calculator.
        start: usually the model's minimum.
        wall: of a cluster. Evaporation is not a failure: the wall prevents it, and only bonds within fragments are
            checked.
        stored: where trajectories are stored, to resume a killed run; None to store nothing.
        on_progress: called with (steps done, all steps), NVT replicas counted as one.
    """
    highest = max(settings.temperatures)
    step = settings.timestep
    hot = [temperature for temperature in settings.temperatures for _ in range(settings.replicas)]
    plan: dict[str, tuple[Ensemble, float, float, list[float], int]] = {
        "nve": ("nve", step, settings.nve_ps, [highest], settings.seed),
        "nve-half": ("nve", step / 2, settings.nve_ps, [highest], settings.seed),
        "nvt": ("nvt", step, settings.nvt_ps, hot, settings.seed + 1),
    }
    steps = [round(1000 * duration / timestep) for _, timestep, duration, _, _ in plan.values()]
    found: dict[str, list[Replica]] = {}
    speed = None
    for index, (name, (ensemble, timestep, duration, temperatures, seed)) in enumerate(plan.items()):
        replicas = stored.load(name) if stored else None
        if replicas is None:
            from asteroid.simulation.run import simulate

            began = time.perf_counter()
            replicas = simulate(
                model,
                [start] * len(temperatures),
                ensemble=ensemble,
                temperatures=temperatures,
                timestep=timestep,
                duration=duration,
                interval=INTERVAL[ensemble],
                seeds=range(seed, seed + len(temperatures)),
                stop=bond_criterion(start),
                wall=wall,
                checkpoints=stored.checkpoints(name) if stored else None,
                on_progress=_shifted(on_progress, sum(steps[:index]), sum(steps)),
            )
            done = 1000 * sum(replica.survived for replica in replicas) / timestep
            speed = done / max(time.perf_counter() - began, 1e-9)
            if stored:
                stored.save(name, replicas)
        found[name] = replicas
    return summarise(found["nve"][0], found["nve-half"][0], found["nvt"], steps_per_second=speed)


def summarise(
    nve: Replica, nve_half: Replica, nvt: Sequence[Replica], *, steps_per_second: float | None = None
) -> Dynamics:
    """Drift, fluctuation and survival of finished replicas."""
    whole, half = Trajectory.of(nve), Trajectory.of(nve_half)
    ratio = None
    if whole.fluctuation is not None and half.fluctuation:
        ratio = whole.fluctuation / half.fluctuation
    by_temperature = []
    for temperature in dict.fromkeys(replica.temperature for replica in nvt):
        alike = [replica for replica in nvt if replica.temperature == temperature]
        survival = kaplan_meier([r.survived for r in alike], [not r.stable for r in alike])
        by_temperature.append(SurvivalAt(temperature, survival, *survival.at_end))
    return Dynamics(whole, half, tuple(map(Trajectory.of, nvt)), tuple(by_temperature), ratio, steps_per_second)


def energy_drift(
    times: npt.ArrayLike, total_energies: npt.ArrayLike, *, atoms: int, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Slope of the total energy, its fluctuation about the fitted line, and the error of the slope.

    The sample size is reduced by the statistical inefficiency of the residuals.

    Args:
        times: (K,) fs.
        total_energies: (K,) eV.
        confidence: one-sided, of the error.

    Returns:
        Slope in eV/atom/ps, standard deviation in eV/atom, error in eV/atom/ps (infinite for too few points).

    >>> drift, fluctuation, error = energy_drift([0, 1000, 2000, 3000], [1.0, 1.2, 1.4, 1.6], atoms=2)
    >>> round(drift, 9), round(fluctuation, 9), round(error, 9)
    (0.1, 0.0, 0.0)
    """
    picoseconds = np.asarray(times, dtype=np.float64) / 1000
    # Subtract the offset of thousands of eV, which would cost digits in the fit.
    energies = np.asarray(total_energies, dtype=np.float64)
    energies = (energies - energies[0]) / atoms
    slope, intercept = np.polyfit(picoseconds, energies, 1)
    residuals = energies - slope * picoseconds - intercept
    inefficiency = statistical_inefficiency(residuals)
    degrees = len(residuals) / inefficiency - 2
    error = math.inf
    if degrees >= 1:
        variance = inefficiency * np.square(residuals).sum() / (len(residuals) - 2)
        variance /= np.square(picoseconds - picoseconds.mean()).sum()
        error = quantile(confidence, degrees) * float(variance) ** 0.5
    return float(slope), float(np.std(residuals)), error


def bond_criterion(start: Configuration) -> StopCriterion:
    """Stops a replica if atoms fuse or a bond of this configuration breaks; transferred hydrogens are not failures."""
    symbols = start.symbols
    first, second = np.triu_indices(len(start.numbers), 1)
    radii = radius_sums(start.numbers)[first, second]
    bonds = bonded(start)[first, second]

    def stop(positions: Floats) -> list[str | None]:
        lengths = np.linalg.norm(positions[:, first] - positions[:, second], axis=2)
        return [reason(ratios) for ratios in lengths / radii]

    def reason(ratios: Floats) -> str | None:
        if len(fused := np.flatnonzero(ratios < FUSED)):
            return f"atoms fused: {pair_at(fused[0], ratios)}"
        for pair in np.flatnonzero(bonds & (ratios > BROKEN)):
            if not transferred(pair, ratios):
                return f"bond broken: {pair_at(pair, ratios)}"
        return None

    def transferred(pair: np.intp, ratios: Floats) -> bool:
        """Whether the hydrogen of this bond is now bonded to another heavy atom, as in malonaldehyde."""
        near = ratios < BONDED
        for hydrogen in (end for end in (first[pair], second[pair]) if symbols[end] == "H"):
            partners = np.concatenate([second[near & (first == hydrogen)], first[near & (second == hydrogen)]])
            if any(symbols[partner] != "H" for partner in partners):
                return True
        return False

    def pair_at(pair: np.intp, ratios: Floats) -> str:
        i, j = first[pair], second[pair]
        return f"{symbols[i]}{i}–{symbols[j]}{j} at {ratios[pair] * radii[pair]:.2f} Å"

    return stop


def unstable(trajectories: Sequence[Trajectory]) -> list[str]:
    """Ensemble, temperature, time and reason of each failed trajectory, as text."""
    return [
        f"{t.ensemble.upper()} at {t.temperature:.0f} K ended after {t.survived:.3f} ps: {t.reason}"
        for t in trajectories
        if not t.stable
    ]


def _shifted(on_progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress of one simulation as progress of all of them."""
    return on_progress and (lambda done, _: on_progress(before + done, total))
