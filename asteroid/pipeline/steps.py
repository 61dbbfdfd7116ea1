"""The table of steps: what each computes, on which workers it runs, and when it is needed.

A step is a function of :mod:`asteroid.stages` and an entry here. :mod:`asteroid.pipeline.order` has their order;
:func:`run_step` runs one in this process and its children.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from asteroid import stages
from asteroid.engines import process_kind
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.pipeline.progress import Show, with_progress
from asteroid.processes import call_in_process
from asteroid.stages.common import TORCH_IMPORTS
from asteroid.store import Store

if TYPE_CHECKING:
    from asteroid.labelling.campaign import CampaignSummary
    from asteroid.sampling import SamplingSummary

log = logging.getLogger(__name__)

Resource = Literal["cheap", "accurate", "gpu"]
"""Workers for cheap labels, for accurate labels, or with torch and preferably a GPU."""


@dataclass(frozen=True)
class Step:
    """One entry of the table. All functions take the store, the molecule and the step's parameters (JSON values).

    Args:
        name: key in :data:`STEPS`.
        words: title, after the molecule's name, with parameters in braces.
        resource: of the workers it runs on; a function if it depends on the molecule and the parameters.
        function: computes what the store lacks and stores it. Also gets ``on_progress``.
        lacks: whether the store lacks the result.
        summary: a line for the log from the function's result; "" for none.
        torch: whether it needs torch, and thus a separate process.
        parallel: whether it gets ``workers``, the number of processes.
        once: whether a completed run is final even if results are missing: a pick may find no candidate. Other steps
            are run again.
        of_model: whether it is a step of the model, the same for all its molecules.
    """

    name: str
    words: str
    resource: Resource | Callable[..., Resource]
    function: Callable[..., Any]
    lacks: Callable[..., bool]
    summary: Callable[[Any], str] = lambda _: ""
    torch: bool = False
    parallel: bool = False
    once: bool = False
    of_model: bool = False

    def title(self, molecule: MoleculeSettings, **parameters: Any) -> str:
        """Title of the step, as shown to users.

        >>> water = MoleculeSettings(name="water", smiles="O")
        >>> STEPS["label"].title(water, level="gfn2-xtb", shard=0, shards=3)
        'water: gfn2-xtb labels, shard 1 of 3'
        """
        shards = parameters.get("shards", 1)
        shard = f", shard {parameters['shard'] + 1} of {shards}" if shards > 1 else ""
        name = molecule.model_name if self.of_model else molecule.name
        return f"{name}: {self.words.format(**parameters)}{shard}"

    def resource_of(self, molecule: MoleculeSettings, **parameters: Any) -> Resource:
        """Resource of the step for this molecule and these parameters."""
        return self.resource(molecule, **parameters) if callable(self.resource) else self.resource


def level_resource(molecule: MoleculeSettings, level: LevelOfTheory) -> Resource:
    """Workers that compute a level: those with torch if its engine needs that."""
    if process_kind(level) == "torch":
        return "gpu"
    return "cheap" if level == molecule.cheap else "accurate"


def _label_resource(molecule: MoleculeSettings, level: str, **_: Any) -> Resource:
    return level_resource(molecule, LevelOfTheory.parse(level, imported=True))


def _cheap_resource(molecule: MoleculeSettings, **_: Any) -> Resource:
    return level_resource(molecule, molecule.cheap)


def _accurate_resource(molecule: MoleculeSettings, **_: Any) -> Resource:
    return level_resource(molecule, molecule.accurate)


def _label(store: Store, molecule: MoleculeSettings, *, level: str, **rest: Any) -> "CampaignSummary":
    return stages.label(store, molecule, LevelOfTheory.parse(level, imported=True), **rest)


def _lacks_labels(store: Store, molecule: MoleculeSettings, *, level: str, **shard: int) -> bool:
    return stages.lacks_labels(store, molecule, LevelOfTheory.parse(level, imported=True), **shard)


def _sampling_summary(found: "SamplingSummary") -> str:
    dropped = "; ".join(f"{count} {reason}" for reason, count in found.dropped.items()) or "none"
    return f"{found.kept} of {found.frames} frames kept, dropped: {dropped}" if found.batches else ""


def _label_summary(found: "CampaignSummary") -> str:
    counts = f"{found.ok} ok, {found.failed} failed, {found.rejected} rejected"
    return f"{counts} in {found.wall_seconds:.0f} s, {found.core_seconds:.1f} core-seconds"


_IN_ORDER = (
    Step(
        "sample",
        "sampling",
        _cheap_resource,
        stages.sample,
        stages.lacks_frames,
        _sampling_summary,
        parallel=True,
        once=True,
    ),
    Step("label", "{level} labels", _label_resource, _label, _lacks_labels, _label_summary, parallel=True),
    Step("choose-chain", "chain", "gpu", stages.choose_chain, stages.lacks_chain, str, torch=True),
    Step(
        "train",
        "training",
        "gpu",
        stages.train,
        stages.lacks_training,
        lambda card: f"model {card.model_id}, {stages.held_out_error(card)}",
        torch=True,
        of_model=True,
    ),
    # Steps of a round, besides labels and training.
    Step("explore", "explore", "gpu", stages.explore, stages.lacks_exploration, str, torch=True, once=True),
    Step("energy-cost", "energy-cost", _accurate_resource, stages.measure_energy_cost, stages.lacks_energy_cost),
    Step("pick", "pick", "gpu", stages.pick, stages.lacks_batch, str, torch=True, once=True, of_model=True),
    Step("record", "record", "gpu", stages.record, stages.lacks_record, str, torch=True, once=True, of_model=True),
    # Steps of a certificate.
    Step(
        "propose",
        "the model's own MD",
        "gpu",
        stages.propose_evidence,
        stages.lacks_proposal,
        lambda count: f"{count} accurate labels requested",
        torch=True,
    ),
    Step(
        "minimum", "accurate minimum", _accurate_resource, stages.label_minimum, stages.propose_minimum, parallel=True
    ),
    Step("hessian", "hessian", "accurate", stages.compute_hessian, stages.lacks_hessian),
    Step(
        "certify",
        "validation",
        "gpu",
        stages.certify,
        stages.lacks_certificate,
        lambda passed: f"certificate {'passed' if passed else 'NOT passed'}",
        torch=True,
    ),
)

STEPS = {step.name: step for step in _IN_ORDER}
"""All steps by name."""

ATTEMPTS = 3
"""Number of runs of a step while results are missing, because labels were added meanwhile or a run was lost."""


def cores() -> int:
    """Number of processes that a step may start: ``ASTEROID_CORES``, else the cores available to this process."""
    return int(os.environ.get("ASTEROID_CORES") or 0) or len(os.sched_getaffinity(0))


async def run_step(
    step: Step, store: Store, molecule: MoleculeSettings, parameters: dict[str, Any], *, show: Show
) -> None:
    """Run a step in a thread, or in a child process with torch; show its progress, and log a summary.

    Heavy packages are loaded in child processes only, so that this process stays responsive.
    """
    title = step.title(molecule, **parameters)
    function: Callable[..., Any] = step.function
    if step.torch:
        function = partial(call_in_process, function, preload=TORCH_IMPORTS)
    workers = {"workers": cores()} if step.parallel else {}
    result = await with_progress(show, title, function, store, molecule, **parameters, **workers)
    if summary := step.summary(result):
        log.info("%s: %s", title, summary)
