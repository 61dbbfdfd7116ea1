"""Cost estimate: remaining work times its measured cost on this machine."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import pyarrow as pa

from asteroid.configuration import Configuration
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.plan.counts import count_certificate, count_labels, count_sampling, count_training, missing_atoms
from asteroid.plan.labels import LabelPrice, growth, ledger_price, measure_price, sum_prices, time_atoms
from asteroid.plan.lines import Quote
from asteroid.plan.machine import ModelPrice, time_model, time_sampling
from asteroid.store import Store, account
from asteroid.store.models import read_cards
from asteroid.store.quote_records import Line, Stage
from asteroid.store.rows import core_seconds

Note = Callable[[str], None]
"""Called with a text about the current measurement."""

RUN_SECONDS = 16.0
"""Core-seconds of a run besides its stages: imports, mostly of torch, and reading the store."""

WORKER_SECONDS = 1.0
"""Start of the workers of a labelling stage."""

REPORT_SECONDS = 8.0
"""Analysis of the MD, figures and report."""

ROW_BYTES, COORDINATE_BYTES, FILE_BYTES, REPORT_BYTES = 150, 24, 9000, 800_000
"""Bytes of a row in Parquet without coordinates, of the coordinates of an atom, of schema and statistics of a file, and
of a report."""


def quote(
    store: Store,
    molecules: Sequence[MoleculeSettings],
    *,
    workers: int,
    cores: int,
    note: Note = lambda text: None,
) -> Quote:
    """Estimate the remaining cost of these molecules.

    Args:
        workers: label workers of the run, one core each.
        cores: largest number of processes for measurements now.
        note: called before each measurement.

    Raises:
        AsteroidError: when all labels at a level fail.
    """
    lines: list[Line] = []
    known: dict[LevelOfTheory, list[tuple[Configuration, float]]] = {}
    atoms: set[tuple[LevelOfTheory, int]] = set()
    models, names = set[str](), set[str]()
    for molecule in molecules:
        left = _Left(store, molecule, workers, min(workers, cores), note, atoms)
        # Shared work counts with the first model, and a model with the first of its molecules.
        lines += left.lines(labels=molecule.name not in names, training=molecule.model_name not in models)
        names.add(molecule.name)
        models.add(molecule.model_name)
        for level, price in left.prices.items():
            known.setdefault(level, []).append((left.start, price.core_seconds))
    for other in set(store.molecules()).difference(molecule.name for molecule in molecules):
        for level, points in known.items():
            if stored := ledger_price(store, other, level):
                frames = store.frames(other, ids=store.selected(other, level)[:1])
                points += [(frame.configuration, stored.core_seconds) for frame in frames]
    grown = []
    for level, points in known.items():
        note(f"growth of the cost of {level}")
        grown.append(growth(level, points, workers=min(workers, cores)))
    overhead = RUN_SECONDS if any(line.count for line in lines) else 0.0
    return Quote(lines=tuple(lines), workers=workers, overhead=overhead, growth=tuple(grown))


class _Left:
    """Remaining cost of one molecule and its model: counts times prices.

    Args:
        processes: number of processes for measurements.
        atoms: free atoms that are already counted; those of this molecule are added.
    """

    def __init__(
        self,
        store: Store,
        molecule: MoleculeSettings,
        workers: int,
        processes: int,
        note: Note,
        atoms: set[tuple[LevelOfTheory, int]],
    ) -> None:
        self.start = _start(store, molecule)
        self.prices: dict[LevelOfTheory, LabelPrice] = {}
        self._store, self._molecule, self._workers, self._processes = store, molecule, workers, processes
        self._note, self._free_atoms = note, atoms
        size = len(self.start.numbers)
        self._sampling = count_sampling(store, molecule, size)
        self._labels = count_labels(store, molecule, self._sampling.frames)
        self._certificate = count_certificate(store, molecule, size)
        self._training = count_training(store, molecule, size)

    def lines(self, *, labels: bool, training: bool) -> list[Line]:
        """Lines in the order of the pipeline.

        Args:
            labels, training: whether to include sampling and labels of the molecule, and the training of its model.
        """
        molecule, judged = self._molecule, self._certificate
        minimum, evidence = judged.times * judged.minimum, judged.times * judged.evidence
        lines = []
        if labels:
            lines.append(self._sampling_line())
            for level, count in self._labels.items():
                stage: Stage = "cheap labels" if level == molecule.cheap else "accurate labels"
                lines.append(self._label_line(stage, level, count, count))
        if training:
            lines.append(self._training_line())
            lines += [self._exploration_line()] if molecule.acquisition else []
        # At least the model's minimum is labelled.
        lines.append(self._label_line("minimum", molecule.accurate, minimum, min(1, minimum)))
        hessians = judged.times * judged.hessian
        lines.append(
            self._label_line("certificate labels", molecule.accurate, evidence, judged.evidence, worth=hessians)
        )
        lines.append(self._validation_line())
        return lines

    def _line(self, stage: Stage, detail: str, count: int, unit: str, spent: float = 0.0) -> Line:
        """A line without remaining cost."""
        return Line(self._molecule.name, stage, detail, count, unit, spent_core_seconds=spent)

    def _charged(self, stage: account.Stage) -> float:
        entries = account.spent(self._store, self._molecule.name)
        return sum(entry.cpu_seconds for entry in entries if entry.stage == stage)

    def _sampling_line(self) -> Line:
        left = self._sampling
        line = self._line("sampling", str(self._molecule.cheap), left.frames, "frames", self._charged("sampling"))
        if not left.groups:
            return line
        self._note(f"{self._molecule.name}: sampling")
        price = time_sampling(self._molecule, self.start)
        processes = min(self._workers, left.groups)
        most = processes * price.start + (left.search + left.gradients) * price.step
        return replace(
            line,
            core_seconds=most,
            least_core_seconds=most,
            wall_seconds=price.start + (left.search + left.gradients / processes) * price.step,
            memory=price.memory,
            processes=processes,
            disk=self._megabytes(left.frames, left.groups),
            source=f"{1000 * price.step:.3g} ms per step of MD",
        )

    def _label_line(self, stage: Stage, level: LevelOfTheory, count: int, sure: int, *, worth: int = 0) -> Line:
        """Labels at a level.

        Args:
            sure: smallest number of labels.
            worth: further work at this level, in labels.
        """
        line, atoms = self._line(stage, str(level), count, "labels"), 0.0
        if stage in ("cheap labels", "accurate labels"):
            known = [atom for part in self._parts(level) for atom in self._store.atoms(part).values()]
            own = [atom for atom in known if atom.molecule == self._molecule.name]
            labels = float(core_seconds(self._attempts[level]).sum())
            line = replace(line, spent_core_seconds=labels + sum(atom.cpu_seconds for atom in own))
            atoms = self._atoms(level) if count else 0.0
        price = self._price(level, measure=count > 0)
        if price is None or not count:
            return line
        # Each geometry of the search depends on the label before.
        processes = 1 if stage == "minimum" else min(self._workers, count)
        beside = atoms + worth * price.core_seconds
        return replace(
            line,
            core_seconds=count * price.core_seconds + beside,
            least_core_seconds=sure * price.core_seconds + atoms,
            wall_seconds=WORKER_SECONDS + math.ceil(count / processes) * price.core_seconds + beside,
            memory=price.memory,
            processes=processes,
            disk=self._megabytes(count, 2),
            source=str(price),
        )

    def _price(self, level: LevelOfTheory, *, measure: bool) -> LabelPrice | None:
        """Price of a label at a level; None if it is neither known nor to be measured."""
        if level.parts:
            prices = [price for part in self._parts(level) if (price := self._price(part, measure=measure))]
            return sum_prices(prices) if len(prices) == len(self._parts(level)) else None
        if level not in self.prices:
            forces = self._molecule.label_settings(level).forces
            price = ledger_price(self._store, self._molecule.name, level, forces=forces)
            if price is None and measure:
                self._note(f"{self._molecule.name}: labels at {level}")
                price = measure_price(self._store, self._molecule, level, self.start, workers=self._processes)
            if price:
                self.prices[level] = price
        return self.prices.get(level)

    def _atoms(self, level: LevelOfTheory) -> float:
        """Core-seconds of the free atoms that are not yet counted."""
        missing = missing_atoms(self._store, self._molecule, level, self.start.numbers.tolist())
        new = [atom for atom in missing if atom not in self._free_atoms]
        self._free_atoms.update(new)
        by_level = {part: [number for of, number in new if of == part] for part, _ in new}
        return sum(time_atoms(self._molecule, part, numbers) for part, numbers in by_level.items())

    def _parts(self, level: LevelOfTheory) -> list[LevelOfTheory]:
        """Levels at which labels of this one are computed; every frame has one at the cheap level already."""
        return [part for part in level.computed if part != self._molecule.cheap or not level.parts]

    @cached_property
    def _attempts(self) -> dict[LevelOfTheory, pa.Table]:
        return self._store.attempts_once(self._molecule.name, list(self._labels))

    @cached_property
    def _model(self) -> ModelPrice:
        training, certificate = self._training, self._certificate
        self._note(f"{self._molecule.name}: training and MD")
        phases, md = [*training.phases, *training.members], [*training.md, *certificate.md]
        return time_model(self._molecule, self.start, phases, md)

    def _training_line(self) -> Line:
        left, name = self._training, self._molecule.model_name
        spent = self._charged("training") + sum(card.core_seconds for card in read_cards(self._store, name))
        count = sum(phase.steps for phase in left.phases)
        line = self._line("training", self._molecule.training.strategy, count, "steps", spent)
        if not left.phases:
            return line
        price, members = self._model, len(self._molecule.trained_on)
        fit, predict = price.kernel
        kernel = members * (fit + self._molecule.sampling.frames * predict)
        minima = left.gradients * price.gradient
        patience = (self._molecule.training.patience + 1) * self._molecule.training.evaluate_every
        most = minima + left.kernels * kernel + sum(price.training(phase, phase.steps) for phase in left.phases)
        least = minima + left.sure_kernels * kernel
        for phase in left.phases:
            if not phase.optional:
                # It may stop early by its held-out frames.
                least += price.training(phase, min(phase.steps, patience) if phase.accurate else phase.steps)
        steps = {phase.batch_size: price.phases[phase][1] for phase in left.phases}
        return replace(
            line,
            core_seconds=most,
            least_core_seconds=least,
            wall_seconds=most,
            memory=price.memory,
            disk=2 * price.model_bytes / 1e6,
            source="; ".join(f"{1000 * each:.3g} ms per step of {size}" for size, each in steps.items()),
        )

    def _exploration_line(self) -> Line:
        left = self._training
        steps = sum(phase.steps for phase in left.members) + sum(batch.steps for batch in left.md)
        line = self._line("exploration", "committees and MD", steps, "steps", self._charged("exploration"))
        if not steps:
            return line
        members = sum(self._model.training(phase, phase.steps) for phase in left.members)
        seconds = members + sum(map(self._model.simulation, left.md))
        # Any round may be the last, so the smallest cost is zero.
        return replace(line, core_seconds=seconds, wall_seconds=seconds, memory=self._model.memory)

    def _validation_line(self) -> Line:
        left = self._certificate
        steps = left.times * sum(batch.steps for batch in left.md)
        line = self._line("validation", "MD", steps, "steps", self._charged("validation"))
        if not steps:
            return line
        price, largest = self._model, max(left.md, key=lambda batch: batch.replicas)
        once = sum(map(price.simulation, left.md)) + left.gradients * price.gradient + REPORT_SECONDS
        return replace(
            line,
            core_seconds=left.times * once,
            least_core_seconds=once,
            wall_seconds=left.times * once,
            memory=price.memory,
            disk=left.times * REPORT_BYTES / 1e6,
            source=f"{1000 * price.md[largest][1]:.3g} ms per step of {largest.replicas} replicas",
        )

    def _megabytes(self, rows: int, files: int) -> float:
        return (rows * (ROW_BYTES + COORDINATE_BYTES * len(self.start.numbers)) + files * FILE_BYTES) / 1e6


def _start(store: Store, molecule: MoleculeSettings) -> Configuration:
    """The lowest conformer in the store, or the starting structure of sampling."""
    from asteroid.sampling import starting_configuration
    from asteroid.sampling.plan import stored_conformers

    return next(iter(stored_conformers(store, molecule)), None) or starting_configuration(molecule)
