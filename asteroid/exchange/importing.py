"""Add labelled files to a store: all files are checked before anything is written, and nothing is added twice.

A file becomes new frames, labels, and a selection, which pipeline and status count. After a kill in between, a second
call adds what is missing.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.compute as pc

from asteroid.chemistry.geometry_files import read_structures
from asteroid.chemistry.structures import read_smiles
from asteroid.errors import InputError
from asteroid.exchange.matching import KnownFrames, describe
from asteroid.exchange.plan import Imported, ImportSettings, Plan, plan_import
from asteroid.exchange.reading import read_labelled
from asteroid.manifest import MoleculeSettings
from asteroid.naming import digest_ids
from asteroid.store import Store
from asteroid.store.rows import Attempt, table_to_attempts


def import_files(store: Store, paths: Sequence[Path], settings: ImportSettings) -> list[Imported]:
    """Add the labels of files, all at one level, to a molecule of a store.

    Raises:
        InputError: with up to a few lines, when a file cannot be read or is inconsistent in itself, with earlier files
            or with the store; nothing is written then.
    """
    check_names(store, [settings.molecule])
    known = KnownFrames.of(store, settings.molecule)
    labels = _stored_labels(store, settings)
    selected = set(store.selected(settings.molecule, settings.level))
    plans = []
    for path in paths:
        file = read_labelled(path, settings.conventions, settings.level)
        known.check_atoms(file)
        plan = plan_import(file, known, labels, settings)
        known.add([frame.configuration for frame in plan.frames], [frame.split for frame in plan.frames])
        labels |= {attempt.frame_id: attempt for attempt in plan.attempts}
        plans.append(plan)
    for plan in plans:
        _write(store, plan, selected, settings)
    return [plan.summary for plan in plans]


def check_names(store: Store, names: Iterable[str]) -> None:
    """Raise InputError for new molecules whose name differs from one in the store only in case.

    On case-insensitive file systems they would share a folder.
    """
    there = store.molecules()
    by_lower = {name.lower(): name for name in there}
    if problems := [
        f"{name}: the store has '{other}', the same folder on some file systems; write '{other}', or another name"
        for name in names
        if name not in there and (other := by_lower.get(name.lower()))
    ]:
        raise InputError(problems)


def check_same_atoms(store: Store, molecule: MoleculeSettings) -> None:
    """Raise InputError when the imported frames of a molecule have other atoms than the manifest."""
    table = store.frame_table(molecule.name)
    imported = table.filter(pc.equal(table["origin"], "import")).slice(0, 1)
    if not imported.num_rows:
        return
    if molecule.smiles is not None:
        numbers = read_smiles(molecule.smiles).numbers
    else:
        assert molecule.geometry is not None, "a molecule has a SMILES or a geometry"
        asked = {"charge": molecule.charge, "multiplicity": molecule.multiplicity}
        numbers = tuple(read_structures(molecule.geometry, **asked)[0].numbers)
    row = imported.to_pylist()[0]
    there = describe(row["numbers"], row["charge"], row["multiplicity"])
    if describe(numbers, molecule.charge, molecule.multiplicity) != there:
        raise InputError(
            f"{molecule.name}: the store's imported frames are {there}; write another name, or as geometry: a file "
            "with these atoms in this order"
        )


def _stored_labels(store: Store, settings: ImportSettings) -> dict[str, Attempt]:
    """The label of each frame, or its latest rejected attempt, by frame id."""
    attempts = store.attempts(settings.molecule, settings.level)
    rejected = attempts.filter(pc.equal(attempts["status"], "rejected"))
    return {a.frame_id: a for a in table_to_attempts(rejected)} | store.labels(settings.molecule, settings.level)


def _write(store: Store, plan: Plan, selected: set[str], settings: ImportSettings) -> None:
    molecule, level = settings.molecule, settings.level
    if plan.frames:
        name = f"import-{digest_ids(frame.frame_id for frame in plan.frames)}"
        store.add_frames(molecule, plan.frames, batch=name)
    store.add_attempts(molecule, level, plan.attempts)
    ids = [frame_id for frame_id in plan.frame_ids if frame_id not in selected]
    if ids:
        store.select(molecule, level, ids, name=f"import-{digest_ids(ids)}", criterion="import")
        selected.update(ids)
