"""Imported labels against asteroid's own, before the two are mixed at one level.

A mistake that all labels of a file share cannot be seen in the file: energies relative to free atoms, a wrong unit,
another core treatment. One frame computed here shows it.
"""

from typing import Final

import numpy as np
import pyarrow.compute as pc

from asteroid.errors import AsteroidError
from asteroid.labelling import engines_for
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.records import table_to_attempts
from asteroid.store import Store

ENERGY_TOLERANCE: Final = 0.005
"""eV/atom. Density fitting and other grids shift ORCA's PBE of acetylacetone by 0.0007; a frozen core, MP2 by much."""

FORCE_TOLERANCE: Final = 0.05
"""eV/Å, mean over the components. The same labels differ by 0.001."""

TRIED: Final = 3
"""Imported frames that may fail to be computed before nothing is said."""


def check_imported(store: Store, molecule: MoleculeSettings, level: LevelOfTheory) -> None:
    """Compute one imported label again if frames of the same level are to be labelled here.

    Frames of the certificate do not count: no model is trained on them, and only their forces are used.

    Raises:
        AsteroidError: when the two are not the same level with the same zero of energy.
    """
    from asteroid.labelling.campaign import label_configurations

    settings = molecule.label_settings(level)
    pending = store.pending(molecule.name, level, forces=settings.forces)
    if all(frame.split == "certificate" for frame in store.frames(molecule.name, ids=pending)):
        return
    table = store.label_table(molecule.name, level)
    imported = table_to_attempts(table.filter(pc.equal(table["program"], "import")).slice(0, TRIED))
    frames = {frame.frame_id: frame for frame in store.frames(molecule.name, ids=[one.frame_id for one in imported])}
    for label in imported:
        (own,) = label_configurations(
            [frames[label.frame_id].configuration],
            level,
            engine=molecule.engine if molecule.engine in engines_for(level) else None,
            forces=label.forces is not None,
            time_limit=settings.time_limit,
            memory_limit=settings.memory_limit,
        )
        if own.energy is None or label.energy is None:
            continue
        atoms = len(frames[label.frame_id].configuration.numbers)
        force = 0.0
        if label.forces is not None and own.forces is not None:
            force = float(np.abs(label.forces - own.forces).mean())
        if abs(label.energy - own.energy) > ENERGY_TOLERANCE * atoms or force > FORCE_TOLERANCE:
            raise AsteroidError(
                f"{molecule.name}: the imported labels at {level} are not what is computed here: frame "
                f"{label.frame_id} has {label.energy:.4f} eV instead of {own.energy:.4f} eV, and forces that differ by "
                f"{force:.2g} eV/Å on average; import them under another level, or into a new store in the right "
                "units and as total energies"
            )
        return
