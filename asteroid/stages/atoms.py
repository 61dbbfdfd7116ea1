"""Energies of free atoms at a level, computed once for all molecules of a store.

Training uses them as zero of energy (:mod:`asteroid.training.baseline`). They are computed with the labels, because
trainings may run without quantum chemistry.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from asteroid.configuration import SYMBOLS
from asteroid.engines import engine_for
from asteroid.labelling.atoms import can_compute_atoms, free_atom
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.processes import Progress, call_in_process
from asteroid.stages.common import waiting
from asteroid.stages.models import round_model
from asteroid.store import Store
from asteroid.store.locks import lock

logger = logging.getLogger(__name__)


def missing_atoms(store: Store, molecule: str, level: LevelOfTheory) -> list[int]:
    """Atomic numbers of a molecule's elements whose free atoms have not been tried.

    None at imported levels, and none at levels of an engine, since few potentials describe a free atom.
    """
    if level.family in ("imported", "engine"):
        return []
    # Of a composite level: those that any of its parts lacks.
    there = store.atoms(level)
    return [number for number in store.elements(molecule) if SYMBOLS[number] not in there]


def lacks_atoms(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> bool:
    """Whether free atoms must be computed before training, and can be computed here.

    Intermediate levels of a chain need none. A finished model from a store without free atoms keeps its zero of energy;
    with free atoms it would be trained again.
    """
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
    """Compute and store the missing free atoms of a molecule's elements; takes seconds.

    A lock keeps two runs from computing the same atom. An atom that does not converge is stored with the reason and not
    tried again. Without the program of the level, nothing is computed.

    Args:
        engine: program for a semiempirical level, if it computes this one.
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
    """Compute in a separate process; each atom is stored as soon as it is finished."""
    store = Store(url)
    for number in numbers:
        # Charged to the first molecule that needs the atom.
        atom = replace(free_atom(level, number, engine), molecule=molecule)
        store.add_atom(level, atom)
        if atom.energy is None:
            logger.warning("free atom %s at %s: %s", atom.element, level, atom.reason)
