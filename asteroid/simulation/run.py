"""Run all replicas of a simulation in one batch; resuming from a checkpoint gives bitwise the same result.

At every interval the state is recorded and checked. A replica that ends early stays in the batch at rest until half of
the batch has ended, because a smaller batch must be traced again.
"""

import contextlib
import hashlib
import io
import json
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asteroid.chemistry.wall import Wall
from asteroid.configuration import Configuration
from asteroid.simulation.replicas import Ensemble, Floats, Progress, Replica, StopCriterion
from asteroid.store.checkpoints import CheckpointKeeper
from asteroid.units import BOLTZMANN, FEMTOSECOND

with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
    # Output on import must not mix with machine-readable standard output.
    warnings.simplefilter("ignore")
    from torch_sim.integrators.md import MDState

    from asteroid.simulation.integrators import FRICTION, langevin_step, thermal_momenta, verlet_step
    from asteroid.simulation.potentials import Potential, WalledPotential, make_potential

RUNAWAY = 5.0
"""A temperature above this times its target for RUNAWAY_TIME ends a replica; thermal fluctuations of this size are
short."""
RUNAWAY_TIME = 50.0
"""fs"""

CHECKPOINT_EVERY = 30.0
"""s between checkpoints."""


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Everything that determines the result, except model and stop criterion."""

    starts: tuple[Configuration, ...]
    ensemble: Ensemble
    temperatures: tuple[float, ...]
    timestep: float
    duration: float
    interval: float
    seeds: tuple[int, ...]
    wall: Wall | None

    @property
    def steps(self) -> int:
        return max(2, round(1000 * self.duration / self.timestep))

    @property
    def steps_per_interval(self) -> int:
        return max(1, round(self.interval / self.timestep))

    @property
    def digest(self) -> str:
        content: list[Any] = [[s.frame_id for s in self.starts], self.ensemble, self.temperatures, self.seeds]
        content += [self.wall.radius] if self.wall else []
        return hashlib.sha256(json.dumps([content, self.timestep, self.duration, self.interval]).encode()).hexdigest()


def simulate(
    model: Any,
    starts: Sequence[Configuration],
    *,
    ensemble: Ensemble,
    temperatures: Sequence[float],
    timestep: float,
    duration: float,
    interval: float,
    seeds: Sequence[int],
    stop: StopCriterion | None = None,
    wall: Wall | None = None,
    checkpoints: CheckpointKeeper | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
    on_progress: Progress | None = None,
) -> list[Replica]:
    """Run replicas of one molecule at once, each from Maxwell–Boltzmann velocities without rigid motion.

    A replica ends early when energy or forces are not finite, when its temperature runs away, or when the stop
    criterion gives a reason. Equal arguments give equal results on one machine.

    Args:
        model: a MACE module on its device or its calculator, computed in its own precision, or any ASE calculator.
        starts: one per replica: geometries of one molecule, with the same order of atoms.
        ensemble: ``nve`` (velocity Verlet) or ``nvt`` (Langevin).
        temperatures: (R,) K.
        timestep: fs.
        duration: ps.
        interval: fs between recorded frames.
        seeds: (R,) of velocities and thermostat of each replica.
        stop: criterion, called at every interval with the running replicas.
        wall: of a cluster; its energy counts as potential energy.
        checkpoints: of this model and stop criterion, to resume from. The caller clears them after storing the result.
        checkpoint_every: s.
        on_progress: called with (steps done, all steps).
    """
    plan = _Plan(
        starts=tuple(starts),
        ensemble=ensemble,
        temperatures=tuple(map(float, temperatures)),
        timestep=timestep,
        duration=duration,
        interval=interval,
        seeds=tuple(map(int, seeds)),
        wall=wall,
    )
    if not len(plan.starts) == len(plan.temperatures) == len(plan.seeds) > 0:
        raise ValueError(f"{len(starts)} starts, {len(temperatures)} temperatures and {len(seeds)} seeds")
    if any((start.numbers != plan.starts[0].numbers).any() for start in plan.starts):
        raise ValueError("the starts are not of one molecule with the same order of atoms")
    run = _Run(plan, model, stop)
    if checkpoints is None or not run.restore(checkpoints.load()):
        run.begin()
    saved = time.monotonic()
    while run.goes_on:
        run.advance()
        if on_progress:
            on_progress(run.step, plan.steps)
        if checkpoints is not None and run.goes_on and time.monotonic() - saved >= checkpoint_every:
            checkpoints.save(run.checkpoint())
            saved = time.monotonic()
    return run.replicas()


class _Run:
    """The state of a simulation."""

    def __init__(self, plan: _Plan, model: Any, stop: StopCriterion | None) -> None:
        self._plan, self._model, self._stop = plan, model, stop
        count = len(plan.starts)
        self.step = 0
        self._starts = np.stack([start.positions for start in plan.starts])
        self._masses = plan.starts[0].masses
        self._generators = [np.random.default_rng(seed) for seed in plan.seeds]
        self._reasons: list[str | None] = [None] * count
        self._ends = np.full(count, plan.steps)
        self._hot = np.zeros(count)
        self._freedom = np.zeros(count, dtype=np.int64)
        self._times: list[float] = []
        self._frames: list[tuple[Floats, Floats, Floats]] = []
        self._batch: npt.NDArray[np.int64] = np.arange(count)

    @property
    def goes_on(self) -> bool:
        return self.step < self._plan.steps and bool(self._running.any())

    @property
    def _running(self) -> npt.NDArray[np.bool_]:
        return np.array([reason is None for reason in self._reasons])

    def begin(self) -> None:
        """Draw velocities and record the start."""
        momenta = np.empty_like(self._starts)
        drawn = zip(self._starts, self._plan.temperatures, self._generators, strict=True)
        for index, (positions, temperature, rng) in enumerate(drawn):
            momenta[index], self._freedom[index] = thermal_momenta(positions, self._masses, temperature, rng)
        if self._plan.ensemble == "nvt":
            # The thermostat acts on all degrees of freedom; removing rigid motion would sample a wrong distribution.
            self._freedom[:] = self._starts[0].size
        self._load(self._starts, momenta)
        output = self._potential(self._state)
        self._state.energy, self._state.forces = output["energy"], output["forces"]
        self._record(0.0)

    def advance(self) -> None:
        """One interval."""
        steps = min(self._plan.steps_per_interval, self._plan.steps - self.step)
        for _ in range(steps):
            self._one_step()
        self.step += steps
        self._record(steps * self._plan.timestep)

    def _one_step(self) -> None:
        if self._plan.ensemble == "nve":
            verlet_step(self._state, self._potential, dt=self._dt)
            return
        generators = [self._generators[index] for index in self._batch]
        langevin_step(
            self._state, self._potential, dt=self._dt, kept=self._kept, thermal=self._thermal, generators=generators
        )

    def _load(self, positions: Floats, momenta: Floats, energies: Any = None, forces: Any = None) -> None:
        """Make the state of the replicas in the batch from arrays."""
        size, atoms = len(self._batch), len(self._masses)
        self._potential: Potential = make_potential(
            self._model, self._plan.starts[0], replicas=size, steps=self._plan.steps
        )
        if self._plan.wall:
            self._potential = WalledPotential(self._potential, self._plan.wall)
        options: dict[str, Any] = {"device": self._potential.device, "dtype": self._potential.dtype}
        masses = torch.tensor(np.tile(self._masses, size), **options)
        numbers = torch.tensor(np.tile(self._plan.starts[0].numbers, size), device=options["device"])
        self._state = MDState(
            positions=torch.tensor(positions.reshape(-1, 3), **options),
            momenta=torch.tensor(momenta.reshape(-1, 3), **options),
            energy=torch.zeros(size, **options) if energies is None else torch.tensor(energies, **options),
            forces=torch.zeros(size * atoms, 3, **options)
            if forces is None
            else torch.tensor(forces.reshape(-1, 3), **options),
            masses=masses,
            cell=torch.eye(3, **options).repeat(size, 1, 1),
            pbc=False,
            system_idx=torch.arange(size, device=options["device"]).repeat_interleave(atoms),
            atomic_numbers=numbers,
        )
        self._dt = torch.tensor(self._plan.timestep * FEMTOSECOND, **options)
        self._kept = math.exp(-FRICTION * self._plan.timestep)
        kelvin = np.repeat(np.array(self._plan.temperatures)[self._batch], atoms)
        spread = np.sqrt(np.tile(self._masses, size) * BOLTZMANN * kelvin * (1 - self._kept**2))
        self._thermal = torch.tensor(spread[:, None], **options)

    def _arrays(self) -> dict[str, Floats]:
        """The state of the replicas in the batch, one row per replica."""
        shape = (len(self._batch), len(self._masses), 3)
        found = {name: getattr(self._state, name) for name in ("positions", "momenta", "forces", "energy")}
        plain = {name: tensor.detach().double().cpu().numpy().copy() for name, tensor in found.items()}
        return {name: a if name == "energy" else a.reshape(shape) for name, a in plain.items()}

    def _record(self, passed: float) -> None:
        """Record every running replica, end those with a reason, and shrink the batch where it pays.

        Args:
            passed: fs since the last record.
        """
        now, count = self._arrays(), len(self._starts)
        positions = np.full((count, len(self._masses), 3), np.nan)
        potential, kinetic = np.full(count, np.nan), np.full(count, np.nan)
        positions[self._batch], potential[self._batch] = now["positions"], now["energy"]
        kinetic[self._batch] = (0.5 * now["momenta"] ** 2 / self._masses[:, None]).sum((1, 2))
        ended = ~self._running
        positions[ended], potential[ended], kinetic[ended] = np.nan, np.nan, np.nan
        self._times.append(self.step * self._plan.timestep)
        self._frames.append((positions, potential, kinetic))

        self._check_all(positions, potential, kinetic, passed)
        for index in np.flatnonzero(~self._running & ~ended):
            self._ends[index] = self.step
        running = self._running[self._batch]
        if running.all() or not running.any():
            return
        if not self._potential.fixed or 2 * running.sum() <= len(running):
            self._batch = self._batch[running]
            self._load(*(now[name][running] for name in ("positions", "momenta", "energy", "forces")))
            return
        # Ended replicas rest at their start, so that a failure cannot slow down the others.
        atoms = torch.from_numpy(np.repeat(~running, len(self._masses))).to(self._potential.device)
        starts = torch.from_numpy(self._starts[self._batch].reshape(-1, 3)).to(self._state.positions)
        self._state.positions = torch.where(atoms[:, None], starts, self._state.positions)
        for name in ("momenta", "forces"):
            values = getattr(self._state, name)
            setattr(self._state, name, torch.where(atoms[:, None], torch.zeros_like(values), values))

    def _check_all(self, positions: Floats, potential: Floats, kinetic: Floats, passed: float) -> None:
        temperatures = self._kelvin(kinetic)
        finite = np.isfinite(potential) & np.isfinite(kinetic) & np.isfinite(positions).all((1, 2))
        failures = {int(self._batch[place]): words for place, words in self._potential.failures.items()}
        for index in np.flatnonzero(self._running & ~finite):
            self._reasons[index] = failures.get(int(index), "energy or forces are not finite")
        going = np.flatnonzero(self._running)
        if self._stop is not None and len(going):
            for index, reason in zip(going, self._stop(positions[going]), strict=True):
                self._reasons[index] = reason
        limits = RUNAWAY * np.array(self._plan.temperatures)
        self._hot = np.where(temperatures > limits, self._hot + passed, 0.0)
        for index in np.flatnonzero(self._running & (self._hot > RUNAWAY_TIME)):
            self._reasons[index] = f"temperature ran away: above {limits[index]:.0f} K for {RUNAWAY_TIME:.0f} fs"

    def _kelvin(self, kinetic: Floats) -> Floats:
        """Temperatures (…, R) K of kinetic energies; 0 without degrees of freedom."""
        return np.where(self._freedom > 0, 2 * kinetic / (np.maximum(self._freedom, 1) * BOLTZMANN), 0.0 * kinetic)

    def replicas(self) -> list[Replica]:
        """The recorded replicas, truncated at the first non-finite frame."""
        positions, potential, kinetic = (np.stack(series) for series in zip(*self._frames, strict=True))
        times, temperatures = np.array(self._times), self._kelvin(kinetic)
        found = []
        for index, start in enumerate(self._plan.starts):
            kept = np.isfinite(potential[:, index] + kinetic[:, index])
            kept &= np.isfinite(positions[:, index]).all((1, 2))
            found.append(
                Replica(
                    ensemble=self._plan.ensemble,
                    temperature=self._plan.temperatures[index],
                    timestep=self._plan.timestep,
                    seed=self._plan.seeds[index],
                    start=start.frame_id,
                    times=times[kept],
                    positions=positions[kept, index],
                    potential_energies=potential[kept, index],
                    total_energies=(potential + kinetic)[kept, index],
                    temperatures=temperatures[kept, index],
                    reason=self._reasons[index],
                    survived=float(self._ends[index]) * self._plan.timestep / 1000,
                    requested=self._plan.duration,
                )
            )
        return found

    def checkpoint(self) -> bytes:
        """The complete state, as bytes."""
        positions, potential, kinetic = (np.stack(series) for series in zip(*self._frames, strict=True))
        rest = {
            "plan": self._plan.digest,
            "step": self.step,
            "reasons": self._reasons,
            "generators": [generator.bit_generator.state for generator in self._generators],
        }
        buffer = io.BytesIO()
        np.savez(
            buffer,
            rest=np.frombuffer(json.dumps(rest).encode(), dtype=np.uint8),
            frame_times=np.array(self._times),
            frame_positions=positions,
            frame_potential=potential,
            frame_kinetic=kinetic,
            ends=self._ends,
            hot=self._hot,
            freedom=self._freedom,
            batch=self._batch,
            **self._arrays(),  # type: ignore[arg-type]
        )
        return buffer.getvalue()

    def restore(self, checkpoint: bytes | None) -> bool:
        """Resume from a checkpoint; False without one, or if it is of another simulation."""
        if checkpoint is None:
            return False
        stored = np.load(io.BytesIO(checkpoint))
        rest = json.loads(stored["rest"].tobytes())
        if rest["plan"] != self._plan.digest:
            return False
        self.step, self._reasons = rest["step"], rest["reasons"]
        for generator, state in zip(self._generators, rest["generators"], strict=True):
            generator.bit_generator.state = state
        self._times = stored["frame_times"].tolist()
        series = (stored[f"frame_{name}"] for name in ("positions", "potential", "kinetic"))
        self._frames = list(zip(*series, strict=True))
        self._ends, self._hot, self._freedom = stored["ends"], stored["hot"], stored["freedom"]
        self._batch = stored["batch"]
        self._load(*(stored[name] for name in ("positions", "momenta", "energy", "forces")))
        return True
