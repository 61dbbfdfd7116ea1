"""The table of steps: what can be done with a molecule, where it runs, and when it is needed.

:mod:`asteroid.pipeline.order` says which step follows which. A step is a function of :mod:`asteroid.stages`, which does
the work, and an entry here, which says the rest. :func:`run_step` runs one in this process and its children.
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
from asteroid.store.models import Card

if TYPE_CHECKING:
    from asteroid.labelling.campaign import CampaignSummary
    from asteroid.sampling import SamplingSummary

log = logging.getLogger(__name__)

Resource = Literal["cheap", "accurate", "gpu"]
"""What a step needs: cores for cheap labels, cores for accurate labels, or torch and best a GPU."""


@dataclass(frozen=True)
class Step:
    """One entry of the table. All functions take the store, the molecule and the step's parameters (JSON values).

    Args:
        name: names it in :data:`STEPS`.
        words: its title after the molecule's name, with parameters in braces.
        resource: on which workers it runs; a function of the molecule and the parameters where these decide.
        function: does what the store lacks, and leaves its result there. Gets ``on_progress``, too.
        lacks: whether the store lacks the result.
        summary: a line for the log from what the function returns; "" for none.
        torch: whether it needs torch, and with that a process of its own.
        parallel: whether it gets ``workers``, the number of processes to start.
        once: whether a run that has completed has done what can be done, even if the store lacks something: a pick may
            find no candidate. Other steps are run again then.
        of_model: whether it is a step of the model, whichever of its molecules it is given.
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
        """What people read of it.

        >>> water = MoleculeSettings(name="water", smiles="O")
        >>> STEPS["label"].title(water, level="gfn2-xtb", shard=0, shards=3)
        'water: gfn2-xtb labels, shard 1 of 3'
        """
        shards = parameters.get("shards", 1)
        shard = f", shard {parameters['shard'] + 1} of {shards}" if shards > 1 else ""
        name = molecule.model_name if self.of_model else molecule.name
        return f"{name}: {self.words.format(**parameters)}{shard}"

    def resource_of(self, molecule: MoleculeSettings, **parameters: Any) -> Resource:
        return self.resource(molecule, **parameters) if callable(self.resource) else self.resource


def level_resource(molecule: MoleculeSettings, level: LevelOfTheory) -> Resource:
    """On which workers a level is computed: those with torch where its engine needs that."""
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


def _sampled(found: "SamplingSummary") -> str:
    dropped = "; ".join(f"{count} {reason}" for reason, count in found.dropped.items()) or "none"
    return f"{found.kept} of {found.frames} frames kept, dropped: {dropped}" if found.batches else ""


def _labelled(found: "CampaignSummary") -> str:
    counts = f"{found.ok} ok, {found.failed} failed, {found.rejected} rejected"
    return f"{counts} in {found.wall_seconds:.0f} s, {found.core_seconds:.1f} core-seconds"


def _trained(card: Card) -> str:
    return f"model {card.model_id}, {stages.held_out_error(card)}"


_IN_ORDER = (
    Step("sample", "sampling", _cheap_resource, stages.sample, stages.lacks_frames, _sampled, parallel=True, once=True),
    Step("label", "{level} labels", _label_resource, _label, _lacks_labels, _labelled, parallel=True),
    Step("choose-chain", "chain", "gpu", stages.choose_chain, stages.lacks_chain, str, torch=True),
    Step("train", "training", "gpu", stages.train, stages.lacks_training, _trained, torch=True, of_model=True),
    # The steps of a round, besides labels and training.
    Step("explore", "explore", "gpu", stages.explore, stages.lacks_exploration, str, torch=True, once=True),
    Step("energy-cost", "energy-cost", _accurate_resource, stages.measure_energy_cost, stages.lacks_energy_cost),
    Step("pick", "pick", "gpu", stages.pick, stages.lacks_batch, str, torch=True, once=True, of_model=True),
    Step("record", "record", "gpu", stages.record, stages.lacks_record, str, torch=True, once=True, of_model=True),
    # What a certificate needs.
    Step(
        "propose",
        "the model's own MD",
        "gpu",
        stages.propose_evidence,
        stages.lacks_proposal,
        lambda asked: f"{asked} accurate labels asked for",
        torch=True,
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
"""How often a step is run whose result is missing afterwards, because labels have come meanwhile or a run was lost."""


def cores() -> int:
    """How many processes a step may start: ``ASTEROID_CORES``, else the cores that this process may use."""
    return int(os.environ.get("ASTEROID_CORES") or 0) or len(os.sched_getaffinity(0))


async def run_step(
    step: Step, store: Store, molecule: MoleculeSettings, parameters: dict[str, Any], *, show: Show
) -> None:
    """Run a step in a thread, or in a child process with torch; show how far it is, and log what came of it.

    Heavy packages are loaded in child processes only, so that this one stays light and responsive.
    """
    title = step.title(molecule, **parameters)
    function: Callable[..., Any] = step.function
    if step.torch:
        function = partial(call_in_process, function, preload=TORCH_IMPORTS)
    workers = {"workers": cores()} if step.parallel else {}
    result = await with_progress(show, title, function, store, molecule, **parameters, **workers)
    if said := step.summary(result):
        log.info("%s: %s", title, said)
