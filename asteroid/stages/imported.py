"""Comparison of imported labels with asteroid's own, before both are used at one level.

An error common to all labels of a file does not show in the file: energies relative to free atoms, a wrong unit,
another frozen core. One frame computed here reveals it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.configuration import Frame
from asteroid.engines import engine_for, programs_for
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.settings import LabelSettings
from asteroid.store import Store
from asteroid.store.rows import table_to_attempts

ENERGY_TOLERANCE: Final = 0.005
"""eV/atom. Density fitting and other grids shift ORCA's PBE energy of acetylacetone by 0.0007; a frozen core shifts MP2
energies by much more.
"""

FORCE_TOLERANCE: Final = 0.05
"""eV/Å, mean over the components; for the same labels 0.001."""

TRIED: Final = 3
"""Largest number of imported frames to compute; if all of them fail, nothing is compared."""


def check_imported(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> None:
    """Compute one imported label again if frames are to be labelled at its level; at each part of a composite one.

    If all pending frames are for a certificate, only the forces must agree: a certificate compares energy differences,
    in which another zero cancels. Labels computed here after the import show that it has been checked.

    Raises:
        AsteroidError: when the imported labels are at another level or have another zero of energy.
    """
    settings = molecule.label_settings(level)
    for part in level.computed:
        ids = store.pending(molecule.name, part, selected_at=level, forces=settings.forces)
        _check_imported(store, molecule, part, store.frames(molecule.name, ids=ids), settings)


def _check_imported(
    store: Store, molecule: MoleculeSettings, level: LevelOfTheory, pending: Sequence[Frame], settings: LabelSettings
) -> None:
    from asteroid.labelling.campaign import label_configurations

    if not pending:
        return
    trains = any(frame.split != "certificate" for frame in pending)
    table = store.label_table(molecule.name, level)
    unchecked = pc.equal(table["program"], "import")
    certificate = store.frame_table(molecule.name, split="certificate")["frame_id"].combine_chunks()
    own = pc.is_in(table["program"], pa.array(programs_for(level), pa.string()))
    if trains:
        # For labels of a certificate, the zero of energy was not checked.
        own = pc.and_(own, pc.invert(pc.is_in(table["frame_id"], value_set=certificate)))
    if (last := pc.max(table.filter(own)["time"])).is_valid:
        unchecked = pc.and_(unchecked, pc.greater(table["time"], last))
    imported = table_to_attempts(table.filter(unchecked).slice(0, TRIED))
    frames = {frame.frame_id: frame for frame in store.frames(molecule.name, ids=[one.frame_id for one in imported])}
    for label in imported:
        (again,) = label_configurations(
            [frames[label.frame_id].configuration],
            level,
            engine=engine_for(level, molecule.engine),
            forces=label.forces is not None,
            time_limit=settings.time_limit,
            memory_limit=settings.memory_limit,
        )
        if again.energy is None or label.energy is None:
            continue
        atoms = len(frames[label.frame_id].configuration.numbers)
        force = 0.0
        if label.forces is not None and again.forces is not None:
            force = float(np.abs(label.forces - again.forces).mean())
        other_zero = trains and abs(label.energy - again.energy) > ENERGY_TOLERANCE * atoms
        if other_zero or force > FORCE_TOLERANCE:
            raise AsteroidError(
                f"{molecule.name}: the imported labels at {level} are not what is computed here: frame "
                f"{label.frame_id} has {label.energy:.4f} eV instead of {again.energy:.4f} eV, and forces that differ "
                f"by {force:.2g} eV/Å on average; import them under another level, or into a new store in the right "
                "units and as total energies"
            )
        return
