"""Speed of sampling, training and MD on this machine, from a few timed steps of each.

All times are CPU time (wall time for a GPU), so that other processes do not count. The pipeline's own functions run
with the settings of the run, and are stopped after a few steps. The timed model is trained on zeros, which takes the
same time. Only :func:`time_model` needs torch, in its own process.
"""

import contextlib
import io
import statistics
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np

from asteroid.configuration import Configuration
from asteroid.errors import AsteroidError, LabelFailed
from asteroid.labelling.attempt import peak_memory
from asteroid.manifest import MoleculeSettings
from asteroid.plan.counts import MD
from asteroid.plan.labels import displaced
from asteroid.processes import call_in_process
from asteroid.stages.common import TORCH_IMPORTS, import_mace
from asteroid.strategies import Phase, strategy_named

SECONDS = 2.0
"""Duration of one measurement after its first interval, at least one further interval."""

INTERVALS = 10
"""Largest number of intervals; their median is taken, against outliers."""

SAMPLING_STEPS, TRAINING_STEPS = 10, 25
"""Steps per interval. Held-out frames are evaluated more often here, which makes a step some 2 % slower."""

KERNEL_FRAMES = 12
"""Frames of the timed kernel; the time of a fit grows with the square of their number."""


@dataclass(frozen=True)
class SamplingPrice:
    """Cost of a worker at the cheap level: s until its first step, s per MD step, and memory in MiB."""

    start: float
    step: float
    memory: float


@dataclass(frozen=True)
class ModelPrice:
    """Cost of training a model and of its MD.

    Args:
        phases, md: s before the first step and s per step, of each phase and each batch of trajectories.
        gradient: s, of the finished model, one geometry at a time.
        kernel: s, of the fit of one kernel, and of its prediction for one frame.
        memory: MiB, peak of the process.
        model_bytes: of one saved model.
    """

    phases: dict[Phase, tuple[float, float]]
    md: dict[MD, tuple[float, float]]
    gradient: float
    kernel: tuple[float, float]
    memory: float
    model_bytes: int

    def training(self, phase: Phase, steps: int) -> float:
        """Seconds of this number of steps of a phase."""
        first, each = self.phases[phase]
        return first + steps * each if steps else 0.0

    def simulation(self, batch: MD) -> float:
        """Seconds of a batch of trajectories."""
        first, each = self.md[batch]
        return first + batch.steps * each


def time_sampling(molecule: MoleculeSettings, start: Configuration) -> SamplingPrice:
    """Time a little MD at the cheap level.

    Raises:
        AsteroidError: when the level fails.
    """
    return call_in_process(_time_sampling, molecule, start)


def _time_sampling(molecule: MoleculeSettings, start: Configuration) -> SamplingPrice:
    from asteroid.sampling.batch import cheap_labeller
    from asteroid.sampling.dynamics import trajectory

    settings, watch = molecule.sampling, _Stopwatch(time.process_time)

    def run() -> None:
        for _ in trajectory(
            cheap_labeller(molecule),
            start,
            temperature=min(settings.temperatures),
            timestep=settings.timestep,
            equilibration=settings.timestep,
            interval=SAMPLING_STEPS * settings.timestep,
            seed=settings.seed,
        ):
            watch.tick()

    began = time.process_time()
    try:
        first, each = watch.time(run)
    except LabelFailed as error:
        raise AsteroidError(f"{molecule.name}: {molecule.cheap} cannot be timed: {error}") from None
    return SamplingPrice(began + first, each / SAMPLING_STEPS, peak_memory())


def time_model(
    molecule: MoleculeSettings, start: Configuration, phases: Collection[Phase], md: Collection[MD]
) -> ModelPrice:
    """Time a few steps of each phase and of each batch of trajectories, a few gradients and a kernel."""
    return call_in_process(
        _time_model, molecule, start, tuple(dict.fromkeys(phases)), tuple(dict.fromkeys(md)), preload=TORCH_IMPORTS
    )


def _time_model(
    molecule: MoleculeSettings, start: Configuration, phases: Collection[Phase], batches: Collection[MD]
) -> ModelPrice:
    import_mace()
    import torch

    from asteroid.simulation.run import simulate
    from asteroid.training.calculator import ModelCalculator
    from asteroid.training.dataset import LabelledFrame
    from asteroid.training.passes import TRACE_FROM
    from asteroid.training.session import Session
    from asteroid.validation.dynamics import bond_criterion

    settings = molecule.training.model_copy(update={"evaluate_every": TRAINING_STEPS})
    zeros, held_out = np.zeros_like(start.positions), max(1, molecule.budget.valid)
    count = max([held_out, 2, *(phase.batch_size for phase in phases)])
    frames = [LabelledFrame(one, 0.0, zeros) for one in displaced(start, count)]
    elements = sorted(set(start.numbers.tolist()))
    watch = _Stopwatch(time.process_time)
    session = Session(
        settings,
        frames,
        frames[:held_out],
        elements,
        checkpoints=_NoCheckpoints(),
        # The first call is before the first step.
        on_progress=lambda _, step, *__: watch.tick() if step else None,
    )
    if session.device.type != "cpu":
        watch = _Stopwatch(time.perf_counter)
    model = session.new_model(frames)

    def train(phase: Phase) -> tuple[float, float]:
        # At least a few intervals, without changing whether the steps are traced.
        steps = max(phase.steps, 3 * TRAINING_STEPS if phase.steps < TRACE_FROM else 0)
        timed = replace(phase, name=repr(phase), steps=steps, accurate=False)
        first, each = watch.time(lambda: session.fit(timed, model, frames, learning_rate=settings.learning_rate))
        return first, each / TRAINING_STEPS

    trained: dict[Phase, tuple[float, float]] = {}
    alike: dict[tuple[int, bool], tuple[float, float]] = {}
    for phase in phases:
        key = phase.batch_size, phase.steps >= TRACE_FROM
        trained[phase] = alike[key] = alike.get(key) or train(phase)
    finished, _ = session.finish(model)
    buffer = io.BytesIO()
    torch.save(finished, buffer)
    finished.to(session.device)

    def simulated(batch: MD) -> tuple[float, float]:
        first, each = watch.time(
            lambda: simulate(
                finished,
                [start] * batch.replicas,
                ensemble="nvt",
                temperatures=[300.0] * batch.replicas,
                timestep=molecule.validation.timestep,
                duration=batch.steps * molecule.validation.timestep / 1000,
                interval=batch.interval * molecule.validation.timestep,
                seeds=range(batch.replicas),
                stop=bond_criterion(start),
                on_progress=lambda *_: watch.tick(),
            )
        )
        return first, each / batch.interval

    md = {batch: simulated(batch) for batch in batches}
    atoms = start.to_atoms()
    atoms.calc = ModelCalculator(
        name="timing", compositions=(), models=[finished], device=session.device.type, default_dtype="float64"
    )

    def gradients() -> None:
        for frame in frames:
            atoms.positions = frame.configuration.positions
            atoms.get_forces()
            watch.tick()

    gradient = watch.time(gradients)[1]
    strategy = strategy_named(settings.strategy)
    kernel = _time_kernel(start, molecule.budget.train) if strategy.kernels(settings) else (0.0, 0.0)
    return ModelPrice(trained, md, gradient, kernel, peak_memory(), buffer.tell())


def _time_kernel(start: Configuration, labels: int) -> tuple[float, float]:
    """Seconds of the fit of a kernel to this number of labels, and of its prediction for one frame."""
    from asteroid.training.dataset import LabelledFrame
    from asteroid.training.kernel import CHOICE_NUMBERS, MOST_NUMBERS, KernelModel

    rng, numbers = np.random.default_rng(0), 1 + 3 * len(start.numbers)
    labels = min(labels, MOST_NUMBERS // numbers)
    geometries = displaced(start, max(2, min(labels, KERNEL_FRAMES)))
    frames = [LabelledFrame(one, float(rng.normal()), rng.normal(size=one.positions.shape)) for one in geometries]
    times = [time.process_time()]
    kernel = KernelModel(frames)
    times.append(time.process_time())
    KernelModel(frames, kernel.permutations, kernel.hyperparameters)
    times.append(time.process_time())
    kernel.fade(geometries, kernel.predict(geometries))
    times.append(time.process_time())
    choice, fit, prediction = np.diff(times).tolist()
    # Hyperparameters are chosen with the first labels, and the best, about a quarter of the kernels, again with more.
    few, more = (min(labels, max(8, count // numbers)) for count in CHOICE_NUMBERS)
    pairs = few**2 + (more**2 / 4 if more > few else 0)
    seconds = (choice * pairs + fit * labels**2) / len(frames) ** 2
    return seconds, prediction * labels / len(frames) ** 2


class _NoCheckpoints:
    def load(self) -> bytes | None:
        return None

    def save(self, checkpoint: bytes) -> None:
        pass

    def clear(self) -> None:
        pass


class _Enough(Exception):
    """Stops a timed function."""


class _Stopwatch:
    """Times a function that calls :meth:`tick` after each interval."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: list[float] = []

    def tick(self) -> None:
        self._times.append(self._clock())
        if len(self._times) > 2 and (self._times[-1] - self._times[1] > SECONDS or len(self._times) > INTERVALS + 1):
            raise _Enough

    def time(self, run: Callable[[], object]) -> tuple[float, float]:
        """Extra seconds of the first interval, and median of the others."""
        self._times = [self._clock()]
        with contextlib.suppress(_Enough):
            run()
        first, *others = np.diff(self._times).tolist()
        each = statistics.median(others or [first])
        return max(0.0, first - each), each
