"""Stored cost estimates, with which a report compares the actual cost.

``asteroid plan`` stores one for each molecule, named by its settings; :mod:`asteroid.stages.certificates` reads it for
the report.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from asteroid.levels import LevelOfTheory
from asteroid.manifest import BudgetSettings, MoleculeSettings, SettledChain, TrainingSettings
from asteroid.naming import content, digest, file_digest
from asteroid.store import Store, paths, records
from asteroid.store.quote_records import KeptQuote, Line


def keep_quote(store: Store, molecule: MoleculeSettings, lines: Sequence[Line], *, workers: int) -> None:
    """Store a molecule's lines of a quote, unless these settings have one.

    The first quote stays: later ones know the actual cost of finished work.
    """
    path = f"{_folder(molecule)}/{molecule.budget.accurate}.json"
    if not store.exists(path):
        created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        records.write(store, path, KeptQuote(created, workers, tuple(lines)))


def find_quote(store: Store, molecule: MoleculeSettings) -> KeptQuote | None:
    """Quote for these settings, or None.

    During active learning, the quote for the whole budget counts: the one for the smallest budget not below this one.
    """
    folder = _folder(molecule)
    budgets = sorted(int(name.removesuffix(".json")) for name in store.names(folder))
    enough = [budget for budget in budgets if budget >= molecule.budget.accurate]
    return records.read(store, KeptQuote, f"{folder}/{enough[0]}.json") if enough else None


def price_of_labels(
    store: Store, molecules: Sequence[MoleculeSettings], rows: Iterable[dict[str, Any]] | None = None
) -> tuple[float, float | None]:
    """Core-hours of labels so far, and those quoted for all of them, or None where a molecule has no quote.

    Args:
        rows: of :meth:`asteroid.store.Store.status` for these molecules; read when not given.
    """
    if rows is None:
        rows = (row for molecule in molecules for row in store.status(molecule.name))
    # A composite level's cost is that of its parts, which have rows of their own.
    spent = sum(row["core_hours"] for row in rows if not LevelOfTheory.parse(row["level"], imported=True).parts)
    quotes = [find_quote(store, molecule) for molecule in molecules]
    lines = [line for quote in quotes if quote is not None for line in quote.lines if line.labels]
    quoted = sum(line.core_seconds + line.spent_core_seconds for line in lines) / 3600
    return spent, None if None in quotes else quoted


def _folder(molecule: MoleculeSettings) -> str:
    foundation = molecule.training.foundation
    if isinstance(molecule.chain, SettledChain):
        # The estimate was made before the pilot chose these levels.
        molecule = replace(
            molecule,
            training=molecule.training.model_copy(update={"ladder": TrainingSettings().ladder}),
            budget=molecule.budget.model_copy(update={"ladder": BudgetSettings().ladder}),
        )
    training = content(molecule.training, exclude={"device", "foundation"})
    asked = {
        "levels": [str(molecule.cheap), str(molecule.accurate)],
        "structure": [molecule.smiles, molecule.geometry and molecule.geometry.name],
        "sampling": content(molecule.sampling),
        "training": {**training, "foundation": foundation and file_digest(foundation)},
        "budget": content(molecule.budget, exclude={"accurate"}),
    }
    return paths.quotes(molecule.name, digest(asked))
