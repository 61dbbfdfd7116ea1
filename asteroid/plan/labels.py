"""What a label costs: by the ledger where the store has labels, else by a few computed now; and how that grows.

Labels computed here are not kept: their geometries are nobody's frames.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.configuration import Configuration
from asteroid.engines import engine_for, programs_for
from asteroid.engines.rough_cost import rough_cost
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.processes import call_in_process
from asteroid.store import Store
from asteroid.store.rows import Attempt, core_seconds

ENOUGH = 3
"""Labels in the ledger from which their mean is taken as it is."""

MOST, SPEND, PRECISION = 200, 10.0, 0.05
"""Labels computed for an estimate, core-seconds spent on it by each worker, and standard error of the mean relative to
it: where one of these is reached, no further label is computed, once each worker has made two."""

AMPLITUDE = 0.05
"""Å, of random displacements: about what a bond does at room temperature."""

REFERENCES, SMALLER = ("CH3OH", "H2O"), 0.7
"""Molecules that show how a level's cost grows where a manifest has one size only, the first that is smaller than this
part of it: costs of sizes that are closer differ by little more than noise."""


@dataclass(frozen=True)
class LabelPrice:
    """What one label of a molecule costs.

    Args:
        core_seconds: mean, of CPU time.
        memory: MiB, peak of a worker.
        labels: how many were averaged.
        measured: whether they were computed now; otherwise they are in the store.
    """

    core_seconds: float
    memory: float
    labels: int
    measured: bool

    def __str__(self) -> str:
        where = "computed now" if self.measured else "in the store"
        return f"{self.core_seconds:.3g} s a label ({self.labels} {where})"


@dataclass(frozen=True)
class Growth:
    """A level's cost as a power of molecular size, ``core_seconds = factor · size**exponent``.

    Args:
        measure: what size counts: ``basis functions``, or ``electrons`` where the method brings its own basis.
        points: formula, size and core-seconds of what was fitted, the smallest first.
        exponent: None when all sizes are about the same.
    """

    level: str
    measure: str
    points: tuple[tuple[str, int, float], ...]
    exponent: float | None

    def at(self, size: float) -> float | None:
        """Core-seconds of a label of another size, from the largest molecule that was measured."""
        _, largest, seconds = self.points[-1]
        return None if self.exponent is None else float(seconds * (size / largest) ** self.exponent)


def displaced(configuration: Configuration, count: int, seed: int = 0) -> list[Configuration]:
    """Distinct geometries near one; their labels cost what those of sampled frames do."""
    noise = np.random.default_rng(seed).normal(scale=AMPLITUDE, size=(count, *configuration.positions.shape))
    return [configuration.with_positions(configuration.positions + step) for step in noise]


def ledger_price(store: Store, molecule: str, level: LevelOfTheory, *, forces: bool = True) -> LabelPrice | None:
    """The mean cost of the labels in the store, failed ones included; None where they are too few.

    Args:
        forces: of labels with forces, or of energies alone: for coupled cluster one costs several times the other.
    """
    ledger = store.attempts(molecule, level)
    # Imported labels cost nothing here, and a row that only withdraws a label is no label.
    ledger = ledger.filter(pc.is_in(ledger["program"], pa.array(programs_for(level), pa.string())))
    ledger = ledger.filter((pc.field("status") == "failed") | (pc.field("forces").is_valid() == forces))
    seconds = core_seconds(ledger)
    paid = seconds[seconds > 0]
    if len(paid) < ENOUGH:
        return None
    return LabelPrice(float(paid.mean()), float(ledger["peak_memory"].to_numpy().max()), len(paid), measured=False)


def measure_price(
    store: Store, molecule: MoleculeSettings, level: LevelOfTheory, start: Configuration, *, workers: int
) -> LabelPrice:
    """What a label costs, computed now for stored frames, or for geometries near ``start``.

    Raises:
        AsteroidError: when no label comes out.
    """
    frames = [frame.configuration for frame in store.frames(molecule.name, split="train")][:MOST]
    settings = molecule.label_settings(level)
    limits = {"time_limit": settings.time_limit, "memory_limit": settings.memory_limit}
    options = {"engine": engine_for(level, molecule.engine), "forces": settings.forces, **limits}
    return _measure(frames + displaced(start, MOST - len(frames)), level, workers=workers, **options)


def time_atoms(molecule: MoleculeSettings, level: LevelOfTheory, numbers: Sequence[int]) -> float:
    """Core-seconds of the energies of these free atoms, which are computed for it."""
    return call_in_process(_time_atoms, level, numbers, engine_for(level, molecule.engine))


def _time_atoms(level: LevelOfTheory, numbers: Sequence[int], engine: str | None) -> float:
    from asteroid.labelling.atoms import can_compute_atoms, free_atom

    if not can_compute_atoms(level):
        return 0.0
    return sum(float(free_atom(level, number, engine)["cpu_seconds"]) for number in numbers)


def _measure(
    configurations: Sequence[Configuration], level: LevelOfTheory, *, workers: int, **options: Any
) -> LabelPrice:
    """Label until the mean cost is known or enough has been spent; all workers are kept busy."""
    from asteroid.labelling.campaign import label_configurations

    made: list[Attempt] = []
    for attempt in label_configurations(configurations, level, workers=workers, **options):
        made.append(attempt)
        # The first label of each worker loads its program; among expensive ones that does not show.
        seconds = [one.core_seconds for one in made[workers:] or made]
        mean = statistics.mean(seconds)
        spread = statistics.stdev(seconds) / math.sqrt(len(seconds)) if len(seconds) >= 2 * ENOUGH else math.inf
        spent = sum(one.core_seconds for one in made)
        if len(made) >= 2 * workers and (spent > SPEND * workers or spread < PRECISION * mean):
            break
    if not any(attempt.status == "ok" for attempt in made):
        raise AsteroidError(f"{configurations[0].formula}: no label came out at {level}: {made[0].reason}")
    return LabelPrice(mean, max(attempt.peak_memory for attempt in made), len(made), measured=True)


def growth(level: LevelOfTheory, points: Sequence[tuple[Configuration, float]], *, workers: int) -> Growth:
    """Fit ``log(core-seconds) = a + b·log(size)`` by least squares over molecules of this level.

    Where all are of about one size, a smaller reference molecule is labelled to compare with, if there is one.

    Args:
        points: molecules and the core-seconds of one label of each.
    """
    from ase.build import molecule

    def size(configuration: Configuration) -> int:
        return rough_cost(level, configuration, forces=False).basis_functions or configuration.electrons

    sized = [(c.formula, size(c), seconds) for c, seconds in points]
    small = SMALLER * max(n for _, n, _ in sized)
    if min(n for _, n, _ in sized) > small:
        smaller = [c for c in (Configuration.from_atoms(molecule(name)) for name in REFERENCES) if size(c) <= small]
        for reference in smaller[:1]:
            seconds = _measure(displaced(reference, MOST), level, workers=workers).core_seconds
            sized.append((reference.formula, size(reference), seconds))
    exponent = None
    if min(n for _, n, _ in sized) <= small:
        logarithms = np.log([[n, seconds] for _, n, seconds in sized])
        exponent = float(np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0])
    measure = "basis functions" if level.basis else "electrons"
    return Growth(str(level), measure, tuple(sorted(sized, key=lambda point: point[1])), exponent)
