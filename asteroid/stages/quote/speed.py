"""How fast this machine samples, trains and validates: a few steps of each, timed in processes like the pipeline's.

All seconds are CPU seconds (of a GPU, wall time), so that what else runs here now does not count. Steps cost the same
whatever the labels are, so the model that is timed learns zeros. Only :func:`training_speed` needs torch, which it
imports in its own process.
"""

import io
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from asteroid.configuration import Configuration
from asteroid.errors import AsteroidError, LabelFailed
from asteroid.manifest import MoleculeSettings
from asteroid.processes import call_in_process
from asteroid.settings import TrainingSettings
from asteroid.stages.common import TORCH_IMPORTS, import_mace

MD_SECONDS = 3.0
"""Spent on MD, or on one measurement of it where that takes longer."""

MD_STEPS = 10
"""Of one measurement."""

TRAINING_STEPS = 20
"""Of one measurement."""

MEASUREMENTS = 20
"""Of which the median is taken: nothing that comes between two of them shows."""

AMPLITUDE = 0.05
"""Å, of random displacements: about what a bond does at room temperature."""


@dataclass(frozen=True)
class SamplingSpeed:
    """Of the cheap level, all workers busy.

    Args:
        start_seconds: until a worker has made its first step.
        step_seconds: one gradient with what MD does around it.
        memory: MiB, peak of a worker.
    """

    start_seconds: float
    step_seconds: float
    memory: float


@dataclass(frozen=True)
class TrainingSpeed:
    """Of one process.

    Args:
        start_seconds: until the process can train, imports included.
        phase_seconds: what each phase costs besides its steps.
        step_seconds: by batch size.
        gradient_seconds: of the finished model, in double precision.
        memory: MiB, peak of the process.
        model_bytes: of one saved model.
    """

    start_seconds: float
    phase_seconds: float
    step_seconds: dict[int, float]
    gradient_seconds: float
    memory: float
    model_bytes: int


def displaced(configuration: Configuration, count: int, seed: int = 0) -> list[Configuration]:
    """Distinct geometries near one; their labels cost what those of sampled frames do."""
    noise = np.random.default_rng(seed).normal(scale=AMPLITUDE, size=(count, *configuration.positions.shape))
    return [configuration.with_positions(configuration.positions + step) for step in noise]


def sampling_speed(molecule: MoleculeSettings, start: Configuration, *, processes: int) -> SamplingSpeed:
    """Time a little MD at the cheap level, in as many processes as will share the machine.

    Raises:
        AsteroidError: when the level finds no forces.
    """
    with ThreadPoolExecutor(processes) as threads:
        timed = [threads.submit(call_in_process, _time_md, molecule, start) for _ in range(processes)]
        return max((one.result() for one in timed), key=lambda speed: speed.step_seconds)


def _time_md(molecule: MoleculeSettings, start: Configuration) -> SamplingSpeed:
    from asteroid.sampling.batch import cheap_labeller
    from asteroid.sampling.dynamics import trajectory

    settings = molecule.sampling
    span = MD_STEPS * settings.timestep
    frames = trajectory(
        cheap_labeller(molecule),
        start,
        temperature=min(settings.temperatures),
        timestep=settings.timestep,
        equilibration=settings.timestep,
        interval=span,
        seed=settings.seed,
    )
    seconds: list[float] = []
    try:
        next(frames)
        ready = time.process_time()
        while not seconds or (sum(seconds) < MD_SECONDS and len(seconds) < MEASUREMENTS):
            before = time.process_time()
            next(frames)
            seconds.append(time.process_time() - before)
    except LabelFailed as error:
        raise AsteroidError(f"{molecule.name}: {molecule.cheap} cannot be timed: {error}") from None
    return SamplingSpeed(ready, statistics.median(seconds) / MD_STEPS, _peak_memory())


def training_speed(settings: TrainingSettings, start: Configuration, batch_sizes: Sequence[int]) -> TrainingSpeed:
    """Time a few training steps at each batch size and a few gradients of the model, in a process of their own."""
    return call_in_process(_time_training, settings, start, tuple(batch_sizes), preload=TORCH_IMPORTS)


def _time_training(settings: TrainingSettings, start: Configuration, batch_sizes: tuple[int, ...]) -> TrainingSpeed:
    import_mace()
    import torch
    from mace.calculators import MACECalculator

    from asteroid.training.dataset import DTYPES, to_graph
    from asteroid.training.fit import StageSettings, fit
    from asteroid.training.model import (
        accelerate,
        build_model,
        choose_device,
        load_foundation,
        model_cutoff,
        model_elements,
        plain,
    )

    ready = time.process_time()
    device = choose_device(settings.device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    dtype = DTYPES[settings.precision]
    if settings.foundation is not None:
        model = load_foundation(settings.foundation, start.numbers.tolist(), dtype=dtype)
    else:
        model = build_model(
            sorted(set(start.numbers.tolist())),
            settings.model,
            {},
            scale=1.0,
            avg_num_neighbors=float(len(start.numbers)),
            seed=settings.seed,
            dtype=dtype,
        )
    on_device = accelerate(model, device)
    zeros = np.zeros_like(start.positions)
    graphs = [
        to_graph(c, 0.0, zeros, numbers=model_elements(model), r_max=model_cutoff(model), dtype=dtype)
        for c in displaced(start, max(batch_sizes))
    ]
    steps, extra = {}, []
    for size in batch_sizes:
        times = [clock()]
        stage = StageSettings(
            name=f"timing of batches of {size}",
            steps=3 * TRAINING_STEPS,
            batch_size=size,
            learning_rate=settings.learning_rate,
            energy_weight=settings.energy_weight,
            forces_weight=settings.forces_weight,
            ema_decay=settings.ema_decay,
            clip=settings.clip,
            keep_best=False,
            patience=settings.patience,
            evaluate_every=TRAINING_STEPS,
            seed=settings.seed,
        )
        # Traced, as long trainings are.
        fit(
            on_device,
            graphs,
            graphs[:1],
            stage,
            traced=True,
            on_progress=lambda *_, times=times: times.append(clock()),
        )
        first, *others = np.diff(times)
        steps[size] = statistics.median(others) / TRAINING_STEPS
        extra.append(max(0.0, first - statistics.median(others)))
    finished = plain(on_device)
    buffer = io.BytesIO()
    torch.save(finished, buffer)
    calculator = MACECalculator(models=[finished], device=device.type, default_dtype="float64")
    return TrainingSpeed(
        start_seconds=ready,
        phase_seconds=max(extra),
        step_seconds=steps,
        gradient_seconds=_time_gradients(calculator, start, clock),
        memory=_peak_memory(),
        model_bytes=buffer.tell(),
    )


def _time_gradients(calculator: object, start: Configuration, clock: Callable[[], float]) -> float:
    atoms = start.to_atoms()
    atoms.calc = calculator
    seconds = []
    for geometry in displaced(start, MEASUREMENTS):
        before = clock()
        atoms.positions = geometry.positions
        atoms.get_forces()
        seconds.append(clock() - before)
    return statistics.median(seconds)


def _peak_memory() -> float:
    """MiB of this process; Linux passes on that of the process that started it, which is smaller here."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
