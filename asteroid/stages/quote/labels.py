"""What a label costs: from the ledger where the store has labels, else from a few computed now; and how that grows.

Labels computed here are not kept: their geometries are nobody's frames.
"""

import math
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.configuration import Configuration
from asteroid.engines import engine_for, programs_for
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.records import Attempt, core_seconds
from asteroid.stages.quote.speed import displaced
from asteroid.store import Store

ENOUGH = 3
"""Labels in the ledger from which their mean is taken as it is."""

MOST = 200
"""Labels computed for an estimate, at most."""

PRECISION = 0.05
"""Standard error of the mean, relative to it, at which no further label is computed."""

SPEND = 20.0
"""Core-seconds for each worker after which no further label is computed, once each worker has made two."""

REFERENCES = ("CH3CH2OH", "CH3OH", "H2O")
"""Molecules that show how a level's cost grows, where a manifest has one size only: the first that is enough smaller.
"""

SMALLER = 0.7
"""Of two sizes, relative to each other: further apart than this, their costs differ by more than noise."""


@dataclass(frozen=True)
class LabelCost:
    """What one label of a molecule costs.

    Args:
        core_seconds: mean, of CPU time.
        first: further core-seconds of the first label of each worker, which loads the program.
        memory: MiB, peak of a worker.
        labels: how many were averaged.
        measured: whether they were computed now; otherwise they are in the store.
    """

    core_seconds: float
    first: float
    memory: float
    labels: int
    measured: bool


@dataclass(frozen=True)
class Growth:
    """A level's cost as a power of molecular size, ``core_seconds = factor · size**exponent``.

    Args:
        measure: what size counts: ``basis functions``, or ``electrons`` where the method brings its own basis.
        points: formula, size and core-seconds of what was fitted.
        exponent: None when all sizes are about the same.
    """

    level: str
    measure: str
    points: tuple[tuple[str, int, float], ...]
    exponent: float | None

    def at(self, size: float) -> float | None:
        """Core-seconds of a label of another size, from the largest molecule that was measured."""
        if self.exponent is None:
            return None
        _, largest, seconds = max(self.points, key=lambda point: point[1])
        return float(seconds * (size / largest) ** self.exponent)


def ledger_cost(store: Store, molecule: str, level: LevelOfTheory, *, forces: bool = True) -> LabelCost | None:
    """The mean cost of the labels in the store, failed ones included; None where they are too few.

    Args:
        forces: of labels with forces, or of energies alone: for coupled cluster one costs several times the other.
    """
    ledger = store.attempts(molecule, level)
    # Imported labels cost nothing here.
    ledger = ledger.filter(pc.is_in(ledger["program"], pa.array(programs_for(level), pa.string())))
    ledger = ledger.filter((pc.field("status") == "failed") | (pc.field("forces").is_valid() == forces))
    seconds = core_seconds(ledger)
    # A row that only withdraws a label cost nothing and is no label.
    paid = seconds > 0
    if paid.sum() < ENOUGH:
        return None
    memory = float(ledger["peak_memory"].to_numpy().max())
    return LabelCost(float(seconds[paid].mean()), 0.0, memory, int(paid.sum()), measured=False)


def measured_cost(
    store: Store, molecule: MoleculeSettings, level: LevelOfTheory, start: Configuration, *, workers: int
) -> LabelCost:
    """The cost of labels computed now, of the store's frames or of geometries like those that it will have.

    Raises:
        AsteroidError: when no label comes out.
    """
    frames = [frame.configuration for frame in store.frames(molecule.name, split="train")][:MOST]
    settings = molecule.label_settings(level)
    return measure(
        frames + displaced(start, MOST - len(frames)),
        level,
        engine=engine_for(level, molecule.engine),
        forces=settings.forces,
        time_limit=settings.time_limit,
        memory_limit=settings.memory_limit,
        workers=workers,
    )


def measure(
    configurations: Sequence[Configuration],
    level: LevelOfTheory,
    *,
    engine: str | None = None,
    forces: bool = True,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    workers: int,
) -> LabelCost:
    """Label until the mean cost is known to :data:`PRECISION` or enough has been spent; all workers are kept busy.

    Raises:
        AsteroidError: when no label comes out.
    """
    from asteroid.labelling.campaign import label_configurations

    made: list[Attempt] = []
    labels = label_configurations(
        configurations,
        level,
        engine=engine,
        workers=workers,
        forces=forces,
        time_limit=time_limit,
        memory_limit=memory_limit,
    )
    for attempt in labels:
        made.append(attempt)
        if _known(made, workers):
            break
    if not any(attempt.status == "ok" for attempt in made):
        raise AsteroidError(f"{configurations[0].formula}: no label came out at {level}: {made[0].reason}")
    # The first label of each worker loads its program; among expensive ones that does not show.
    first, rest = made[:workers], made[workers:]
    mean = statistics.mean(attempt.core_seconds for attempt in rest or first)
    extra = statistics.mean(attempt.core_seconds for attempt in first) - mean
    memory = max(attempt.peak_memory for attempt in made)
    return LabelCost(mean, max(0.0, extra), memory, len(made), measured=True)


def _known(made: Sequence[Attempt], workers: int) -> bool:
    if len(made) < 2 * workers:
        return False
    costs = [attempt.core_seconds for attempt in made[workers:]]
    if sum(attempt.core_seconds for attempt in made) > SPEND * workers:
        return True
    return len(costs) >= 2 * ENOUGH and statistics.stdev(costs) < PRECISION * math.sqrt(len(costs)) * statistics.mean(
        costs
    )


def growth(level: LevelOfTheory, points: Sequence[tuple[Configuration, float]], *, workers: int) -> Growth:
    """Fit ``log(core-seconds) = a + b·log(size)`` by least squares over molecules of this level.

    Where all are of about one size, a smaller reference molecule is labelled to compare with, if there is one.

    Args:
        points: molecules and the core-seconds of one label of each.
    """
    sized = [(c.formula, size(level, c), seconds) for c, seconds in points]
    if _alike(sized):
        sized += _reference(level, min(n for _, n, _ in sized), workers)
    exponent = None
    if not _alike(sized):
        logarithms = np.log([[n, seconds] for _, n, seconds in sized])
        exponent = float(np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0])
    measure_of_size = "basis functions" if level.basis else "electrons"
    return Growth(str(level), measure_of_size, tuple(sorted(sized, key=lambda point: point[1])), exponent)


def _alike(sized: Sequence[tuple[str, int, float]]) -> bool:
    sizes = [n for _, n, _ in sized]
    return min(sizes) > SMALLER * max(sizes)


def _reference(level: LevelOfTheory, other: int, workers: int) -> list[tuple[str, int, float]]:
    """A smaller molecule, labelled."""
    from ase.build import molecule

    for name in REFERENCES:
        configuration = Configuration.from_atoms(molecule(name))
        if (own := size(level, configuration)) <= SMALLER * other:
            # An engine's level may not have parameters for it.
            with suppress(AsteroidError):
                cost = measure(displaced(configuration, MOST), level, workers=workers)
                return [(configuration.formula, own, cost.core_seconds)]
    return []


def size(level: LevelOfTheory, configuration: Configuration) -> int:
    """Basis functions of a molecule, or its electrons where the method brings its own basis."""
    if level.basis is None:
        return configuration.electrons
    from pyscf import gto

    atoms = list(zip(configuration.symbols, configuration.positions, strict=True))
    spin = configuration.multiplicity - 1
    return int(gto.M(atom=atoms, basis=level.basis, charge=configuration.charge, spin=spin, verbose=0).nao)
