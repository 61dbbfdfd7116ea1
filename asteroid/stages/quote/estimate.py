"""From a manifest and a store to a quote: measure what is not known, multiply by what is left."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from asteroid import paths
from asteroid.account import spent
from asteroid.configuration import Configuration
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.records import core_seconds
from asteroid.stages.quote.labels import LabelCost, growth, ledger_cost, measured_cost
from asteroid.stages.quote.lines import Line, Quote, Stage
from asteroid.stages.quote.schedule import lay_out
from asteroid.stages.quote.speed import SamplingSpeed, TrainingSpeed, sampling_speed, training_speed
from asteroid.stages.quote.work import QuotedPhase, Work, remaining
from asteroid.store import Store

Note = Callable[[str], None]
"""Told what is being measured."""

RUN_SECONDS = 4.0
"""Of a run besides its stages: imports, and reading the store between two stages."""

WORKER_SECONDS = 1.0
"""Until the workers of a labelling stage are ready."""

REPORT_SECONDS = 5.0
"""To draw and write a report."""

ROW_BYTES = 150
"""Of a row in Parquet besides its coordinates: ids and numbers of a frame or of an attempt."""

COORDINATE_BYTES = 24
"""Three doubles that do not compress."""

FILE_BYTES = 9000
"""Of schema and statistics in each Parquet file."""

FLUSH_SECONDS = 30.0
"""Between two files of a labelling stage."""

REPORT_BYTES = 800_000
"""Of a report with its plots, and its certificate."""


@dataclass(frozen=True)
class _Measured:
    """What was measured for one molecule; None where nothing is left that needs it."""

    start: Configuration
    cheap: LabelCost | None
    accurate: LabelCost | None
    sampling: SamplingSpeed | None
    training: TrainingSpeed | None


def quote(
    store: Store,
    molecules: Iterable[MoleculeSettings],
    *,
    workers: int,
    cores: int,
    note: Note = lambda text: None,
) -> Quote:
    """Quote what a run would still spend on these molecules.

    Args:
        workers: label workers of the run, one core each.
        cores: processes that may be started here and now to measure with.
        note: called before each measurement with what it is.

    Raises:
        AsteroidError: when no label comes out at a level.
    """
    molecules = tuple(molecules)
    lines: list[Line] = []
    chains = []
    costs: dict[LevelOfTheory, list[tuple[Configuration, float]]] = {}
    for molecule in molecules:
        start = _start(store, molecule)
        work = remaining(store, molecule, len(start.numbers))
        measured = _measure(store, molecule, work, start, min(workers, cores), note)
        of_molecule = _lines(store, molecule, work, measured, workers)
        lines += of_molecule
        chains.append([line.task for line in of_molecule])
        for level, cost in ((molecule.cheap, measured.cheap), (molecule.accurate, measured.accurate)):
            if cost:
                costs.setdefault(level, []).append((start, cost.core_seconds))
    wall, memory = lay_out(chains, workers)
    overhead = RUN_SECONDS if wall else 0.0
    grown = []
    for level, points in costs.items():
        note(f"how the cost of {level} grows")
        others = _others(store, level, {molecule.name for molecule in molecules})
        grown.append(growth(level, [*points, *others], workers=min(workers, cores)))
    return Quote(
        lines=tuple(lines),
        workers=workers,
        overhead=overhead,
        wall_seconds=wall + overhead,
        memory=memory,
        growth=tuple(grown),
    )


def _start(store: Store, molecule: MoleculeSettings) -> Configuration:
    """The lowest conformer where the store has one, else the structure that sampling would start from."""
    from asteroid.sampling import starting_configuration
    from asteroid.sampling.plan import stored_conformers

    return next(iter(stored_conformers(store, molecule)), None) or starting_configuration(molecule)


def _others(store: Store, level: LevelOfTheory, known: set[str]) -> list[tuple[Configuration, float]]:
    """Molecules of the store that the manifest does not name, and what their labels at a level cost."""
    found = []
    for molecule in store.molecules():
        if molecule not in known and (cost := ledger_cost(store, molecule, level)):
            labelled = store.selected(molecule, level)[:1]
            found += [(frame.configuration, cost.core_seconds) for frame in store.frames(molecule, ids=labelled)]
    return found


def _measure(
    store: Store, molecule: MoleculeSettings, work: Work, start: Configuration, processes: int, note: Note
) -> _Measured:
    def cost(level: LevelOfTheory, labels: int) -> LabelCost | None:
        known = ledger_cost(store, molecule.name, level, forces=molecule.label_settings(level).forces)
        if known or not labels:
            return known
        note(f"{molecule.name}: labels at {level}")
        return measured_cost(store, molecule, level, start, workers=processes)

    sampling = training = None
    if work.sampling_gradients:
        note(f"{molecule.name}: sampling")
        sampling = sampling_speed(molecule, start, processes=processes)
    if work.phases or work.minimum_gradients or work.validation_gradients:
        note(f"{molecule.name}: training")
        sizes = sorted({phase.batch_size for phase in work.phases})
        training = training_speed(molecule.training, start, sizes or [molecule.training.finetune_batch_size])
    return _Measured(
        start,
        cost(molecule.cheap, work.cheap_labels),
        cost(molecule.accurate, work.accurate_labels + work.minimum_labels + work.evidence_labels),
        sampling,
        training,
    )


def _lines(store: Store, molecule: MoleculeSettings, work: Work, measured: _Measured, workers: int) -> list[Line]:
    """In the order in which the pipeline does them."""
    return [
        _sampling_line(store, molecule, work, measured, workers),
        _label_line(store, molecule, "cheap labels", work.cheap_labels, measured, workers),
        _label_line(store, molecule, "accurate labels", work.accurate_labels, measured, workers),
        _training_line(store, molecule, work, measured.training),
        # One after the other: each geometry follows from the label before.
        _label_line(store, molecule, "minimum", work.minimum_labels, measured, 1),
        _label_line(store, molecule, "certificate labels", work.evidence_labels, measured, workers),
        _validation_line(store, molecule, work, measured.training),
    ]


def _sampling_line(store: Store, molecule: MoleculeSettings, work: Work, measured: _Measured, workers: int) -> Line:
    speed = measured.sampling
    step = speed.step_seconds if speed else 0.0
    search, groups = work.conformer_gradients * step, work.sampling_gradients * step
    processes = max(1, min(workers, work.sampling_groups))
    start = speed.start_seconds if speed else 0.0
    seconds = processes * start + search + groups
    return Line(
        molecule=molecule.name,
        stage="sampling",
        detail=str(molecule.cheap),
        count=work.frames,
        unit="frames",
        core_seconds=seconds,
        least_core_seconds=seconds,
        wall_seconds=start + search + groups / processes,
        spent_core_seconds=_charged_seconds(store, molecule, "sampling"),
        memory=speed.memory if speed else 0.0,
        processes=processes,
        disk=_megabytes(work.frames, len(measured.start.numbers), work.sampling_groups),
        source=f"{1000 * step:.3g} ms a step of MD" if speed else "",
    )


def _label_line(
    store: Store, molecule: MoleculeSettings, stage: Stage, count: int, measured: _Measured, workers: int
) -> Line:
    is_cheap = stage == "cheap labels"
    level, cost = (molecule.cheap, measured.cheap) if is_cheap else (molecule.accurate, measured.accurate)
    each = cost.core_seconds if cost else 0.0
    processes = max(1, min(workers, count))
    first = cost.first * processes if cost and count else 0.0
    start = WORKER_SECONDS if count else 0.0
    if stage == "minimum":
        # A stage of its own for each of them, with a new worker.
        first, start = first * count, start * count
    return Line(
        molecule=molecule.name,
        stage=stage,
        detail=str(level),
        count=count,
        unit="labels",
        core_seconds=count * each + first,
        # The model's minimum must be labelled to be judged.
        least_core_seconds=(min(count, 1) if stage == "minimum" else count) * each,
        wall_seconds=start + math.ceil(count / processes) * each + first / processes,
        spent_core_seconds=0.0
        if stage in ("minimum", "certificate labels")
        else _ledger_seconds(store, molecule, level),
        memory=cost.memory if cost and count else 0.0,
        processes=processes,
        disk=_megabytes(count, len(measured.start.numbers), 1 + count * each / processes / FLUSH_SECONDS),
        source=_source(cost) if count else "",
    )


def _source(cost: LabelCost | None) -> str:
    if cost is None:
        return ""
    where = f"{cost.labels} computed now" if cost.measured else f"{cost.labels} in the store"
    return f"{cost.core_seconds:.3g} s a label ({where})"


def _training_line(store: Store, molecule: MoleculeSettings, work: Work, speed: TrainingSpeed | None) -> Line:
    def seconds(steps: Callable[[QuotedPhase], int]) -> float:
        if speed is None or not work.phases:
            return 0.0
        phases = sum(speed.phase_seconds + steps(phase) * speed.step_seconds[phase.batch_size] for phase in work.phases)
        return speed.start_seconds + phases + work.minimum_gradients * speed.gradient_seconds

    most, least = seconds(lambda phase: phase.steps), seconds(lambda phase: phase.least_steps)
    models = len({phase.name for phase in work.phases} & {"scratch", "finetune"})
    return Line(
        molecule=molecule.name,
        stage="training",
        detail=molecule.training.strategy,
        count=sum(phase.steps for phase in work.phases),
        unit="steps",
        core_seconds=most,
        least_core_seconds=least,
        wall_seconds=most,
        spent_core_seconds=_trained_seconds(store, molecule) + _charged_seconds(store, molecule, "training"),
        memory=speed.memory if speed and most else 0.0,
        processes=1,
        disk=models * speed.model_bytes / 1e6 if speed else 0.0,
        source="; ".join(f"{1000 * s:.3g} ms a step of {size}" for size, s in speed.step_seconds.items())
        if speed and most
        else "",
    )


def _validation_line(store: Store, molecule: MoleculeSettings, work: Work, speed: TrainingSpeed | None) -> Line:
    count = work.validation_gradients
    seconds = speed.start_seconds + count * speed.gradient_seconds + REPORT_SECONDS if speed and count else 0.0
    return Line(
        molecule=molecule.name,
        stage="validation",
        detail="MD",
        count=count,
        unit="steps",
        core_seconds=seconds,
        least_core_seconds=seconds,
        wall_seconds=seconds,
        spent_core_seconds=_charged_seconds(store, molecule, "validation"),
        memory=speed.memory if speed and count else 0.0,
        processes=1,
        disk=REPORT_BYTES / 1e6 if count else 0.0,
        source=f"{1000 * speed.gradient_seconds:.3g} ms a step" if speed and count else "",
    )


def _charged_seconds(store: Store, molecule: MoleculeSettings, stage: Stage) -> float:
    return sum(used.cpu for found, _, used in spent(store, molecule.name) if found == stage)


def _ledger_seconds(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> float:
    ledger = store.attempts(molecule.name, level)
    return float(core_seconds(ledger).sum())


def _trained_seconds(store: Store, molecule: MoleculeSettings) -> float:
    """Of all finished models of the molecule."""
    cards = [paths.model(molecule.name, name, "card.json") for name in store.names(paths.models(molecule.name))]
    return sum(float(store.read_json(card)["core_seconds"]) for card in cards if store.exists(card))


def _megabytes(rows: int, atoms: int, files: float) -> float:
    return (rows * (ROW_BYTES + COORDINATE_BYTES * atoms) + files * FILE_BYTES) / 1e6 if rows else 0.0
