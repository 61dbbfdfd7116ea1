"""Cost of a label, from the ledger or from a few labels computed now, and its growth with molecular size.

Labels computed here are not stored.
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
"""Smallest number of labels in the ledger for a mean."""

MOST, SPEND, PRECISION = 200, 10.0, 0.05
"""Limits of a measurement: labels, core-seconds per worker, and relative standard error of the mean. It ends at the
first of these, once each worker has computed two labels."""

AMPLITUDE = 0.05
"""Å, standard deviation of random displacements: about that of a bond at room temperature."""

REFERENCES, SMALLER = ("CH3OH", "H2O"), 0.7
"""Reference molecules for the growth of the cost where a manifest has only one size. The first one below this fraction
of it is used: closer sizes differ by little more than noise."""


@dataclass(frozen=True)
class LabelPrice:
    """Cost of one label of a molecule.

    Args:
        core_seconds: mean CPU time.
        memory: MiB, peak of a worker.
        labels: number of labels in the mean.
        measured: whether they were computed now or are in the store.
    """

    core_seconds: float
    memory: float
    labels: int
    measured: bool

    def __str__(self) -> str:
        where = "computed now" if self.measured else "in the store"
        return f"{self.core_seconds:.3g} s per label ({self.labels} {where})"


@dataclass(frozen=True)
class Growth:
    """Cost of a level as a power of molecular size, ``core_seconds = factor · size**exponent``.

    Args:
        measure: of size: ``basis functions``, or ``electrons`` for methods with a built-in basis.
        points: formula, size and core-seconds of the fitted molecules, the smallest first.
        exponent: None when all sizes are similar.
    """

    level: str
    measure: str
    points: tuple[tuple[str, int, float], ...]
    exponent: float | None

    def at(self, size: float) -> float | None:
        """Core-seconds of a label of another size, extrapolated from the largest measured molecule."""
        _, largest, seconds = self.points[-1]
        return None if self.exponent is None else float(seconds * (size / largest) ** self.exponent)


def displaced(configuration: Configuration, count: int, seed: int = 0) -> list[Configuration]:
    """Random displacements of a geometry; their labels cost as much as those of sampled frames."""
    noise = np.random.default_rng(seed).normal(scale=AMPLITUDE, size=(count, *configuration.positions.shape))
    return [configuration.with_positions(configuration.positions + step) for step in noise]


def ledger_price(store: Store, molecule: str, level: LevelOfTheory, *, forces: bool = True) -> LabelPrice | None:
    """Mean cost of the labels in the store, including failed ones; None for fewer than :data:`ENOUGH`.

    Args:
        forces: of labels with forces or of energies only, which cost much less with coupled cluster.
    """
    ledger = store.attempts(molecule, level)
    # Without imported labels and rows that only reject a label.
    ledger = ledger.filter(pc.is_in(ledger["program"], pa.array(programs_for(level), pa.string())))
    ledger = ledger.filter((pc.field("status") == "failed") | (pc.field("forces").is_valid() == forces))
    seconds = core_seconds(ledger)
    paid = seconds[seconds > 0]
    if len(paid) < ENOUGH:
        return None
    return LabelPrice(float(paid.mean()), float(ledger["peak_memory"].to_numpy().max()), len(paid), measured=False)


def sum_prices(prices: Sequence[LabelPrice]) -> LabelPrice:
    """Price of a label that is a sum of others."""
    return LabelPrice(
        sum(price.core_seconds for price in prices),
        max(price.memory for price in prices),
        min(price.labels for price in prices),
        measured=any(price.measured for price in prices),
    )


def measure_price(
    store: Store, molecule: MoleculeSettings, level: LevelOfTheory, start: Configuration, *, workers: int
) -> LabelPrice:
    """Cost of a label, measured now with stored frames, or displacements of ``start``.

    Raises:
        AsteroidError: when all labels fail.
    """
    frames = [frame.configuration for frame in store.frames(molecule.name, split="train")][:MOST]
    settings = molecule.label_settings(level)
    limits = {"time_limit": settings.time_limit, "memory_limit": settings.memory_limit}
    options = {"engine": engine_for(level, molecule.engine), "forces": settings.forces, **limits}
    return _measure(frames + displaced(start, MOST - len(frames)), level, workers=workers, **options)


def time_atoms(molecule: MoleculeSettings, level: LevelOfTheory, numbers: Sequence[int]) -> float:
    """Core-seconds of these free atoms, which are computed to measure it."""
    return call_in_process(_time_atoms, level, numbers, engine_for(level, molecule.engine))


def _time_atoms(level: LevelOfTheory, numbers: Sequence[int], engine: str | None) -> float:
    from asteroid.labelling.atoms import can_compute_atoms, free_atom

    if not can_compute_atoms(level):
        return 0.0
    return sum(free_atom(level, number, engine).cpu_seconds for number in numbers)


def _measure(
    configurations: Sequence[Configuration], level: LevelOfTheory, *, workers: int, **options: Any
) -> LabelPrice:
    """Label until the mean cost is known or a limit is reached."""
    from asteroid.labelling.campaign import label_configurations

    made: list[Attempt] = []
    for attempt in label_configurations(configurations, level, workers=workers, **options):
        made.append(attempt)
        # Without the first label of each worker, if there are others: it loads the program.
        seconds = [one.core_seconds for one in made[workers:] or made]
        mean = statistics.mean(seconds)
        spread = statistics.stdev(seconds) / math.sqrt(len(seconds)) if len(seconds) >= 2 * ENOUGH else math.inf
        spent = sum(one.core_seconds for one in made)
        if len(made) >= 2 * workers and (spent > SPEND * workers or spread < PRECISION * mean):
            break
    if not any(attempt.status == "ok" for attempt in made):
        raise AsteroidError(f"{configurations[0].formula}: all labels at {level} failed: {made[0].reason}")
    return LabelPrice(mean, max(attempt.peak_memory for attempt in made), len(made), measured=True)


def growth(level: LevelOfTheory, points: Sequence[tuple[Configuration, float]], *, workers: int) -> Growth:
    """Fit ``log(core-seconds) = a + b·log(size)`` by least squares over molecules of this level.

    Where all have a similar size, a smaller reference molecule is labelled, too.

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
