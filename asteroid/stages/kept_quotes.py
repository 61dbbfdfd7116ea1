"""Stored cost estimates, with which a report compares the actual cost.

``asteroid plan`` stores one for each molecule, named by its settings; :mod:`asteroid.stages.certificates` reads it for
the report.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

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
