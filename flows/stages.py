"""The flows that workers run, one a stage: references in, everything else through the store.

Each is deployed to the work pool of its resource class (see ``prefect.yaml``). Without a server the parent calls the
same flows in its own process. Heavy packages are loaded in child processes only, so a flow's own process stays light
and responsive.
"""

import logging
import os

from prefect import flow

from asteroid import stages
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.store import Store
from flows.progress import with_progress

# Not __name__: Prefect loads a deployed flow from its file, under a name of its own.
log = logging.getLogger("flows.stages")


def cores() -> int:
    """How many processes a flow may fan out to: ``ASTEROID_CORES``, else the cores this process may use."""
    return int(os.environ.get("ASTEROID_CORES") or 0) or len(os.sched_getaffinity(0))


@flow(flow_run_name="sample {molecule.name}")
async def sample(store: str, molecule: MoleculeSettings) -> None:
    """Sample a molecule's configurations at its cheap level."""
    title = f"{molecule.name}: sampling"
    summary = await with_progress(title, stages.sample, Store(store), molecule, workers=cores())
    if summary.batches:
        dropped = "; ".join(f"{count} {reason}" for reason, count in summary.dropped.items()) or "none"
        log.info("%s: %d of %d frames kept, dropped: %s", title, summary.kept, summary.frames, dropped)


@flow(flow_run_name="label {molecule.name} {level} {shard}-{shards}")
async def label(store: str, molecule: MoleculeSettings, level: str, shard: int = 0, shards: int = 1) -> None:
    """Label one shard of a molecule's selected frames at one level."""
    title = f"{molecule.name}: {level} labels" + (f", shard {shard + 1} of {shards}" if shards > 1 else "")
    summary = await with_progress(
        title,
        stages.label,
        Store(store),
        molecule,
        LevelOfTheory.parse(level),
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


@flow(flow_run_name="{which} {molecule.name}")
async def calculate(store: str, molecule: MoleculeSettings, which: stages.Calculation) -> None:
    """One calculation at a molecule's accurate level that is not the label of a frame."""
    await with_progress(f"{molecule.name}: {which}", stages.calculate, Store(store), molecule, which)


@flow(flow_run_name="train {molecule.name}")
async def train(store: str, molecule: MoleculeSettings, baseline: bool = True) -> None:
    """Train a molecule's models: scratch, the baseline, if it is wanted, then the strategy of the manifest."""
    title = f"{molecule.name}: training"
    card = await with_progress(title, stages.train_in_child, store, molecule, baseline=baseline)
    log.info("%s: model %s, %s", title, card["model_id"], stages.held_out_error(card))


@flow(flow_run_name="{step} {molecule.name}")
async def explore(store: str, molecule: MoleculeSettings, step: stages.Step) -> None:
    """Explore with a molecule's model of the last round, pick the next batch of labels, or record what it brought."""
    title = f"{molecule.name}: {step}"
    result = await with_progress(title, stages.acquire_in_child, store, molecule, step)
    log.info("%s: %s", title, result)


@flow(flow_run_name="propose {molecule.name}")
async def propose(store: str, molecule: MoleculeSettings) -> None:
    """Let a molecule's finished model run by itself, and ask for accurate labels of where it went."""
    title = f"{molecule.name}: the model's own MD"
    asked = await with_progress(title, stages.propose_evidence_in_child, store, molecule)
    log.info("%s: %d accurate labels asked for", title, asked)


@flow(flow_run_name="certify {molecule.name}")
async def certify(store: str, molecule: MoleculeSettings) -> None:
    """Judge a molecule's finished model and write its certificate and report."""
    title = f"{molecule.name}: validation"
    passed = await with_progress(title, stages.certify_in_child, store, molecule)
    log.info("%s: certificate %s", title, "passed" if passed else "NOT passed")
