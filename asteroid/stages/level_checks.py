"""Finite-difference check of the forces of a level without proof, on the molecule, before its first labels.

Levels of an engine, and shared levels computed by a plug-in, are not in the table of :mod:`asteroid.engines.proofs`.
One label and four energies test whether the forces are minus the gradient of the energy. The result is stored with the
program and its settings: labels with other settings, or from another file of the same name, are refused.
"""

import logging
from collections.abc import Callable

from asteroid.configuration import Configuration
from asteroid.engines import capabilities, check_elements, engine_for, make_labeller
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.naming import digest
from asteroid.store import Store, paths, records
from asteroid.store.records import CheckedLevel

logger = logging.getLogger(__name__)


def check_level(
    store: Store, molecule: MoleculeSettings, level: LevelOfTheory, geometry: Callable[[], Configuration | None]
) -> None:
    """Check the forces of a level on a molecule, once; levels with a proof and energies alone need no check.

    Args:
        geometry: returns a geometry of the molecule, or None if there is nothing to label.

    Raises:
        AsteroidError: when the label fails, when its forces are wrong, or when the store has labels at this level from
            another file or with other settings.
    """
    from asteroid.labelling.spot_check import check_forces

    engine = engine_for(level, molecule.engine)
    able = capabilities(level, engine)
    if able.proof is not None:
        return
    labeller = make_labeller(level, engine)
    folder = paths.checked_level(molecule.name, level)
    earlier = [records.read(store, CheckedLevel, f"{folder}/{name}") for name in store.names(folder)]
    if others := [one for one in earlier if (one.program, one.settings) != (labeller.program, labeller.settings)]:
        raise AsteroidError(
            f"{molecule.name}: its labels at '{level}' were made by {others[0].program} with other settings or another "
            f"file ({others[0].settings}, now {labeller.settings}); put that back, or write another name or store"
        )
    name = digest([labeller.program, labeller.version, labeller.settings])
    if "forces" not in able.properties or store.exists(f"{folder}/{name}.json"):
        return
    configuration = geometry()
    if configuration is None:
        return
    check_elements(level, configuration.numbers)
    check = check_forces(configuration, level, engine=engine)
    if check.reason is not None or check.force_error is None:
        reason = check.reason or "it gives no forces"
        raise AsteroidError(f"{molecule.name}: '{level}' is not used: {reason}; write another level")
    found = CheckedLevel(
        configuration.frame_id, check.force_error, labeller.program, labeller.version, labeller.settings
    )
    records.write(store, f"{folder}/{name}.json", found)
    logger.info("%s: forces at %s are those of its energy to %.1g eV/Å", molecule.name, level, check.force_error)
