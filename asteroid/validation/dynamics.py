"""Molecular dynamics with a model: does it conserve energy, and does the molecule survive.

A model can have small errors on held-out frames and still hold a hole in its energy surface that a trajectory finds; so
a certificate needs both. A trajectory that fails is a result with a time and a reason, not an exception. The replicas
are run by :mod:`asteroid.simulation`, all NVT temperatures in one batch; how sure their number makes is said by
:mod:`asteroid.validation.survival`.
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
"""A bond longer than this times the sum of the radii is broken: 1.87 Å for C–H, beyond any vibration below 1000 K."""
FUSED = 0.5
"""Atoms closer than this times the sum of the radii have fused: 0.54 Å for C–H, hundreds of eV uphill in reality."""
INTERVAL = {"nve": 1.0, "nvt": 5.0}
"""fs between the frames that are recorded and judged. 5 are half a period of the fastest stretch; a drift is told from
the oscillations of velocity Verlet's energy, which takes more frames."""
SAMPLES = 200
"""Points at most in a recorded series: enough for a plot."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectory:
    """One trajectory of a model, without its positions.

    Args:
        ensemble: ``nve`` (velocity Verlet) or ``nvt`` (Langevin).
        temperature: K, of the thermostat, or of the starting velocities.
        timestep: fs.
        seed: of the velocities and the thermostat.
        requested, survived: ps.
        reason: why it ended early; None for a stable trajectory.
        drift: eV/atom/ps, slope of the total energy; None unless ``nve`` and stable.
        drift_error: eV/atom/ps, by which the slope may be off with 95% confidence in either direction; infinite for a
            trajectory too short to tell; None with the drift, and in certificates of version 0.1.
        fluctuation: eV/atom, standard deviation about that slope; None with the drift.
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
        """What a certificate keeps of a replica."""
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
    """How many replicas survived at one temperature.

    Args:
        temperature: K.
        survival: times in ps.
        surviving, low, high: part that survives to the end, with its 95 % interval.
    """

    temperature: float
    survival: Survival
    surviving: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Dynamics:
    """All trajectories of a validation. In a certificate's JSON it has these keys, and those of the classes above.

    Args:
        nve: at the highest temperature, with the time step of the settings.
        nve_half: the same start and velocities with half the time step: velocity Verlet then fluctuates a quarter as
            much on a smooth energy surface, and what drifts in both is the model's fault, not the integrator's.
        nvt: ``replicas`` at each temperature, one temperature after another.
        survival: of the NVT replicas, one a temperature.
        verlet_ratio: fluctuation of ``nve`` over that of ``nve_half``: 4 in theory; None where one has none.
        steps_per_second: of all NVT replicas together, on the machine that ran them; None where they were stored.
    """

    nve: Trajectory
    nve_half: Trajectory
    nvt: tuple[Trajectory, ...]
    survival: tuple[SurvivalAt, ...]
    verlet_ratio: float | None
    steps_per_second: float | None

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        return (self.nve, self.nve_half, *self.nvt)


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
        wall: of a cluster: that it evaporates is no fault of a model, so it is kept from it, and survival is judged by
            the bonds within its fragments.
        stored: where trajectories are kept, so that a killed run goes on; None to keep nothing.
        on_progress: called with the steps done and the steps in all, NVT replicas counted as one.
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
    """What replicas say about a model."""
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
    """Slope of the total energy, eV/atom/ps, its standard deviation about that slope, eV/atom, and the slope's error.

    The error, eV/atom/ps, is exceeded in one direction with the probability 1 − ``confidence``. Deviations from the
    slope are correlated, so they count as that many fewer.

    Args:
        times: (K,) fs.
        total_energies: (K,) eV.

    >>> drift, fluctuation, error = energy_drift([0, 1000, 2000, 3000], [1.0, 1.2, 1.4, 1.6], atoms=2)
    >>> round(drift, 9), round(fluctuation, 9), round(error, 9)
    (0.1, 0.0, 0.0)
    """
    picoseconds = np.asarray(times, dtype=np.float64) / 1000
    # An offset of thousands of eV would cost digits in the fit.
    energies = np.asarray(total_energies, dtype=np.float64)
    energies = (energies - energies[0]) / atoms
    slope, intercept = np.polyfit(picoseconds, energies, 1)
    left = energies - slope * picoseconds - intercept
    memory = statistical_inefficiency(left)
    degrees = len(left) / memory - 2
    error = math.inf
    if degrees >= 1:
        variance = memory * np.square(left).sum() / (len(left) - 2) / np.square(picoseconds - picoseconds.mean()).sum()
        error = quantile(confidence, degrees) * float(variance) ** 0.5
    return float(slope), float(np.std(left)), error


def bond_criterion(start: Configuration) -> StopCriterion:
    """Ends a replica whose atoms fused, or whose bonds, against those of this configuration, broke."""
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
        """Whether the hydrogen of this bond now sits on another heavy atom: chemistry (malonaldehyde), no failure."""
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
    """One line for each trajectory that failed: ensemble, temperature, time and reason."""
    return [
        f"{t.ensemble.upper()} at {t.temperature:.0f} K ended after {t.survived:.3f} ps: {t.reason}"
        for t in trajectories
        if not t.stable
    ]


def _shifted(on_progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress of one simulation as progress of all."""
    return on_progress and (lambda done, _: on_progress(before + done, total))
