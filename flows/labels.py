"""Labelling and training as the parent orders them: what is selected is labelled, what failed is replaced.

:mod:`flows.pipeline` and :mod:`flows.rounds` call these; where the work is done is :mod:`flows.site`'s.
"""

import asyncio
import logging

from asteroid import stages
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.store import Store
from flows.site import Site

log = logging.getLogger(__name__)

REPLACEMENTS = 3
"""Times that frames whose accurate label failed are replaced: replacements may fail in turn."""


async def label_and_train(store: Store, molecule: MoleculeSettings, site: Site) -> stages.Models:
    """Every label that the budget asks for, then the models; each only as far as the store lacks it."""
    await label_chosen(store, molecule, site)
    if await asyncio.to_thread(stages.trained_models, store, molecule) is None:
        await site.train(store, molecule)
    models = await asyncio.to_thread(stages.trained_models, store, molecule)
    if models is None:
        raise AsteroidError(f"{molecule.name}: the labels change faster than models train; run again to go on")
    return models


async def label_chosen(store: Store, molecule: MoleculeSettings, site: Site, *, occasion: str = "") -> None:
    """Every label that the budget asks for, those of frames included that replace others.

    Args:
        occasion: put before the names of the labelling stages, where they come up several times in one run.
    """
    await select(store, molecule)
    await label_missing(store, molecule, site, molecule.cheap, occasion=f"{occasion}cheap")
    await label_missing(store, molecule, site, molecule.accurate, occasion=f"{occasion}accurate")
    for attempt in range(REPLACEMENTS):
        # Frames whose label failed or was rejected are replaced by others.
        await select(store, molecule)
        again = f"{occasion}accurate-again-{attempt}"
        if not await label_missing(store, molecule, site, molecule.accurate, occasion=again):
            break
    for level in molecule.ladder:
        await label_missing(store, molecule, site, level, occasion=f"{occasion}ladder-{level}")


async def label_missing(
    store: Store, molecule: MoleculeSettings, site: Site, level: LevelOfTheory, *, occasion: str
) -> bool:
    """Have labelled what is selected at a level and has not been tried; whether that was anything.

    The stage also computes the level's free atoms: it runs for these alone where all labels were imported.
    """
    forces = molecule.label_settings(level).forces
    missing = len(await asyncio.to_thread(store.pending, molecule.name, level, forces=forces))
    log.info("%s: %d labels to compute at %s", molecule.name, missing, level)
    if missing or await asyncio.to_thread(stages.lacks_atoms, store, molecule, level):
        await site.label(store, molecule, level, occasion=occasion)
    await asyncio.to_thread(stages.review_labels, store, molecule, level)
    if missing:
        await site.show_labels(store, molecule)
    return missing > 0


async def select(store: Store, molecule: MoleculeSettings) -> None:
    """Choose which frames get cheap and accurate labels."""
    await asyncio.to_thread(stages.select, store, molecule)
