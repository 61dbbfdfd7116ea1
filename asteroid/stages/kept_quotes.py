"""Quotes in the store, so that a report can hold what was spent against what was said before.

``asteroid plan`` keeps one a molecule, named by its settings; :mod:`asteroid.stages.certificates` finds it again for
the report.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from asteroid.manifest import MoleculeSettings
from asteroid.naming import content, digest, file_digest
from asteroid.store import Store, paths


def keep_quote(store: Store, molecule: MoleculeSettings, lines: Sequence[Mapping[str, Any]], *, workers: int) -> None:
    """Write a molecule's lines of a quote, unless these settings have been quoted before.

    The first quote stays: a later one knows what has been spent, and would be right by looking.
    """
    path = f"{_folder(molecule)}/{molecule.budget.accurate}.json"
    if not store.exists(path):
        created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        store.write_json(path, {"created": created, "workers": workers, "lines": [*lines]})


def find_quote(store: Store, molecule: MoleculeSettings) -> dict[str, Any] | None:
    """What was quoted for these settings: ``created``, ``workers`` and ``lines``; None where nothing was.

    While the loop of rounds buys label after label, the quote of the whole budget is the one that counts: of several,
    it is that of the smallest budget which holds this molecule's.
    """
    folder = _folder(molecule)
    budgets = sorted(int(name.removesuffix(".json")) for name in store.names(folder))
    enough = [budget for budget in budgets if budget >= molecule.budget.accurate]
    found: dict[str, Any] | None = store.read_json(f"{folder}/{enough[0]}.json") if enough else None
    return found


def _folder(molecule: MoleculeSettings) -> str:
    foundation = molecule.training.foundation
    training = content(molecule.training, exclude={"device", "foundation"})
    asked = {
        "levels": [str(molecule.cheap), str(molecule.accurate)],
        "structure": [molecule.smiles, molecule.geometry and molecule.geometry.name],
        "sampling": content(molecule.sampling),
        "training": {**training, "foundation": foundation and file_digest(foundation)},
        "budget": content(molecule.budget, exclude={"accurate"}),
    }
    return paths.quotes(molecule.name, digest(asked))
