"""One stage each: run it in a thread, show how far it is, and say in a line what it did.

Called in this process by :class:`flows.site.LocalSite` and on workers by the flows of :mod:`flows.stages`. Heavy
packages are loaded in child processes only, so the calling process stays light and responsive.
"""

import logging
import os

from asteroid import stages
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.store import Store
from flows.progress import Show, with_progress

log = logging.getLogger(__name__)


SAMPLING = "sampling"
TRAINING = "training"
OWN_MD = "the model's own MD"
VALIDATION = "validation"
"""What people read of a step, after the molecule's name."""


def labels_name(level: LevelOfTheory, shard: int, shards: int) -> str:
    return f"{level} labels" + (f", shard {shard + 1} of {shards}" if shards > 1 else "")


def cores() -> int:
    """How many processes a stage may fan out to: ``ASTEROID_CORES``, else the cores this process may use."""
    return int(os.environ.get("ASTEROID_CORES") or 0) or len(os.sched_getaffinity(0))


async def sample(store: Store, molecule: MoleculeSettings, *, show: Show) -> None:
    """Sample a molecule's configurations at its cheap level."""
    title = f"{molecule.name}: {SAMPLING}"
    summary = await with_progress(show, title, stages.sample, store, molecule, workers=cores())
    if summary.batches:
        dropped = "; ".join(f"{count} {reason}" for reason, count in summary.dropped.items()) or "none"
        log.info("%s: %d of %d frames kept, dropped: %s", title, summary.kept, summary.frames, dropped)


async def label(
    store: Store, molecule: MoleculeSettings, level: LevelOfTheory, shard: int = 0, shards: int = 1, *, show: Show
) -> None:
    """Label one shard of a molecule's selected frames at one level."""
    title = f"{molecule.name}: {labels_name(level, shard, shards)}"
    summary = await with_progress(
        show,
        title,
        stages.label,
        store,
        molecule,
        level,
        shard=shard,
        shards=shards,
        workers=cores(),
    )
    log.info(
        "%s: %d ok, %d failed, %d rejected in %.0f s, %.1f core-seconds",
        title,
        summary.ok,
        summary.failed,
        summary.rejected,
        summary.wall_seconds,
        summary.core_seconds,
    )


async def calculate(store: Store, molecule: MoleculeSettings, which: stages.Calculation, *, show: Show) -> None:
    """One calculation at a molecule's accurate level that is not the label of a frame."""
    await with_progress(show, f"{molecule.name}: {which}", stages.calculate, store, molecule, which)


async def train(store: Store, molecule: MoleculeSettings, baseline: bool = True, *, show: Show) -> None:
    """Train a molecule's models: scratch, the baseline, if it is wanted, then the strategy of the manifest."""
    title = f"{molecule.name}: {TRAINING}"
    card = await with_progress(show, title, stages.train_in_child, store.url, molecule, baseline=baseline)
    log.info("%s: model %s, %s", title, card["model_id"], stages.held_out_error(card))


async def explore(store: Store, molecule: MoleculeSettings, step: stages.Step, *, show: Show) -> None:
    """Explore with a molecule's model of the last round, pick the next batch of labels, or record what it brought."""
    title = f"{molecule.name}: {step}"
    result = await with_progress(show, title, stages.acquire_in_child, store.url, molecule, step)
    log.info("%s: %s", title, result)


async def propose(store: Store, molecule: MoleculeSettings, *, show: Show) -> None:
    """Let a molecule's finished model run by itself, and ask for accurate labels of where it went."""
    title = f"{molecule.name}: {OWN_MD}"
    asked = await with_progress(show, title, stages.propose_evidence_in_child, store.url, molecule)
    log.info("%s: %d accurate labels asked for", title, asked)


async def certify(store: Store, molecule: MoleculeSettings, *, show: Show) -> None:
    """Judge a molecule's finished model and write its certificate and report."""
    title = f"{molecule.name}: {VALIDATION}"
    passed = await with_progress(show, title, stages.certify_in_child, store.url, molecule)
    log.info("%s: certificate %s", title, "passed" if passed else "NOT passed")
