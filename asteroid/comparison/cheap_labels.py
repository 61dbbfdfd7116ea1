"""Cheap labels that a comparison needs and the store lacks, computed by the labelling campaign into the store.

Only where they cost milliseconds: a semiempirical level. Labels of any other level, and of one whose labels were
imported, are taken as they are. Before it lies :mod:`asteroid.comparison.plan`, whose draw then finds them.
"""

import hashlib
import logging
from collections.abc import Callable

import pyarrow.compute as pc

from asteroid.comparison.plan import ComparisonSettings, frames_by_split, in_drawn_order
from asteroid.engines import check_supported
from asteroid.labelling.campaign import run_campaign
from asteroid.store import Store

logger = logging.getLogger(__name__)


def label_cheaply(
    store: Store,
    settings: ComparisonSettings,
    *,
    workers: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Compute the cheap labels of all frames that have accurate ones, and of those that may train.

    Raises:
        InputError: when the molecule's charge or multiplicity is one that the cheap level is not offered for.
    """
    molecule, level = settings.molecule, settings.cheap
    if not level.is_semiempirical or _are_imported(store, settings):
        return
    wanted = _wanted(store, settings)
    there = set(store.selected(molecule, level)) | set(store.labels(molecule, level))
    missing = [frame_id for frame_id in wanted if frame_id not in there]
    if missing:
        (frame,) = store.frames(molecule, ids=missing[:1])
        configuration = frame.configuration
        check_supported(level, charge=configuration.charge, multiplicity=configuration.multiplicity)
        name = f"comparison-{hashlib.sha256(''.join(missing).encode()).hexdigest()[:16]}"
        store.select(molecule, level, missing, name=name, criterion="comparison")
    # Also what an earlier comparison selected and did not get to.
    if store.pending(molecule, level):
        done = run_campaign(store, molecule, level, workers=workers, on_progress=on_progress)
        logger.info("%s: %d cheap labels at %s, %d without", molecule, done.ok, level, done.total - done.ok)


def _are_imported(store: Store, settings: ComparisonSettings) -> bool:
    """Whether labels at the cheap level came from elsewhere: those of another program must not be mixed with ours."""
    programs = store.label_table(settings.molecule, settings.cheap)["program"]
    return bool(pc.any(pc.equal(programs, "import")).as_py())


def _wanted(store: Store, settings: ComparisonSettings) -> list[str]:
    """Ids of the frames that need a cheap label, whatever may be drawn with these seeds."""
    splits = frames_by_split(store, settings.molecule)
    accurate = store.labels(settings.molecule, settings.accurate)
    wanted = {frame_id: None for ids in splits.values() for frame_id in ids if frame_id in accurate}
    for seed in settings.seeds:
        wanted |= dict.fromkeys(in_drawn_order(splits["train"], seed)[: settings.cheap_frames])
    return list(wanted)
