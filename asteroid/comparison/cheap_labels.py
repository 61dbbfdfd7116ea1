"""Compute the cheap labels that a comparison needs and the store lacks.

Only at semiempirical levels, which take milliseconds. Labels at other levels and imported labels are used as they are.
Runs before :func:`asteroid.comparison.plan.make_plan`, which draws among the frames with cheap labels.
"""

import logging
from collections.abc import Callable

import pyarrow.compute as pc

from asteroid.comparison.plan import ComparisonSettings, frames_by_split, in_drawn_order
from asteroid.engines import check_supported
from asteroid.labelling.campaign import run_campaign
from asteroid.naming import digest_ids
from asteroid.store import Store

logger = logging.getLogger(__name__)


def label_cheaply(
    store: Store,
    settings: ComparisonSettings,
    *,
    workers: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Compute the cheap labels of all frames with accurate labels, and of the cheap training frames of all seeds.

    Raises:
        InputError: when the cheap level is not supported for the charge or multiplicity of the molecule.
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
        name = f"comparison-{digest_ids(missing)}"
        store.select(molecule, level, missing, name=name, criterion="comparison")
    # Also frames that an interrupted comparison selected.
    if store.pending(molecule, level):
        done = run_campaign(store, molecule, level, workers=workers, on_progress=on_progress)
        logger.info("%s: %d cheap labels at %s, %d without", molecule, done.ok, level, done.total - done.ok)


def _are_imported(store: Store, settings: ComparisonSettings) -> bool:
    """Whether cheap labels were imported: labels of different programs must not be mixed."""
    programs = store.label_table(settings.molecule, settings.cheap)["program"]
    return bool(pc.any(pc.equal(programs, "import")).as_py())


def _wanted(store: Store, settings: ComparisonSettings) -> list[str]:
    """Ids of the frames that need a cheap label with any of the seeds."""
    splits = frames_by_split(store, settings.molecule)
    accurate = store.labels(settings.molecule, settings.accurate)
    wanted = {frame_id: None for ids in splits.values() for frame_id in ids if frame_id in accurate}
    for seed in settings.seeds:
        wanted |= dict.fromkeys(in_drawn_order(splits["train"], seed)[: settings.cheap_frames])
    return list(wanted)
