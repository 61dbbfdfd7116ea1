"""Energies of free atoms at a level, computed once for all molecules of a store.

A part of labelling: training, which reads them as its zero of energy (:mod:`asteroid.training.baseline`), may run where
there is no quantum chemistry. Nothing here needs torch.
"""

import logging
from collections.abc import Sequence

from asteroid.configuration import SYMBOLS
from asteroid.engines import engine_for
from asteroid.labelling.atoms import can_compute_atoms, free_atom
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress, call_in_process
from asteroid.stages.common import waiting
from asteroid.store import Store
from asteroid.store.locks import lock

logger = logging.getLogger(__name__)


def missing_atoms(store: Store, molecule: str, level: LevelOfTheory) -> list[int]:
    """Atomic numbers of a molecule's elements whose free atoms have not been tried; none at an imported level.

    Nor at one of an engine's own: few potentials know an atom by itself.
    """
    if level.family in ("imported", "engine"):
        return []
    # Of a composite level: those that any of its parts lacks.
    there = store.atoms(level)
    return [number for number in store.elements(molecule) if SYMBOLS[number] not in there]


def lacks_atoms(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> bool:
    """Whether free atoms are still to be computed before a training, and can be computed here.

    Levels of the ladder do without: no model has their zero. So does a model that is finished, in a store that is older
    than free atoms: with another zero it would be another model.
    """
    from asteroid.stages.models import round_model

    if level not in (molecule.cheap, molecule.accurate) or not can_compute_atoms(level):
        return False
    return bool(missing_atoms(store, molecule.name, level)) and round_model(store, molecule) is None


def compute_atoms(
    store: Store,
    molecule: str,
    level: LevelOfTheory,
    *,
    engine: str | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Compute and store the missing free atoms of a molecule's elements; seconds of work.

    Two runs on one store do not compute an atom twice. An atom that does not converge is stored with its reason and not
    tried again. Without the level's program nothing happens.

    Args:
        engine: program for a semiempirical level, where it computes this one.
    """
    if level.parts:
        for part in level.computed:
            compute_atoms(store, molecule, part, engine=engine, on_progress=on_progress)
        return
    if not missing_atoms(store, molecule, level) or not can_compute_atoms(level):
        return
    with lock(store, f"atoms {level}", on_wait=waiting(on_progress)):
        missing = missing_atoms(store, molecule, level)
        if missing:
            call_in_process(_compute, store.url, molecule, level, missing, engine_for(level, engine))


def _compute(url: str, molecule: str, level: LevelOfTheory, numbers: Sequence[int], engine: str | None) -> None:
    """In a process of its own: each atom is in the store as soon as it is known."""
    store = Store(url)
    for number in numbers:
        # The account of the molecule that first needed an atom pays for it.
        record = {**free_atom(level, number, engine), "molecule": molecule}
        store.add_atom(level, record)
        if record["energy"] is None:
            logger.warning("free atom %s at %s: %s", record["element"], level, record["reason"])
