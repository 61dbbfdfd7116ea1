"""Imported labels against asteroid's own, before the two are mixed at one level.

A mistake that all labels of a file share cannot be seen in the file: energies relative to free atoms, a wrong unit,
another core treatment. One frame computed here shows it.
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
"""eV/atom. Density fitting and other grids shift ORCA's PBE of acetylacetone by 0.0007; a frozen core, MP2 by much."""

FORCE_TOLERANCE: Final = 0.05
"""eV/Å, mean over the components. The same labels differ by 0.001."""

TRIED: Final = 3
"""Imported frames that may fail to be computed before nothing is said."""


def check_imported(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> None:
    """Compute one imported label again if frames of the same level are to be labelled here; at each of its parts.

    Where only a certificate wants them, their forces must agree: of energies it compares differences alone, so another
    zero does no harm there. Labels that have been computed here since the import say that it was checked.

    Raises:
        AsteroidError: when the two are not the same level with the same zero of energy.
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
    judging = store.frame_table(molecule.name, split="certificate")["frame_id"].combine_chunks()
    own = pc.is_in(table["program"], pa.array(programs_for(level), pa.string()))
    if trains:
        # What only judges has not been asked for its zero.
        own = pc.and_(own, pc.invert(pc.is_in(table["frame_id"], value_set=judging)))
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
