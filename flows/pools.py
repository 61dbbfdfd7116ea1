"""Steps as flow runs on work pools.

A step is a part of one flow run (:mod:`flows.batches`), or several shards with one each. A lost run is submitted again
a limited number of times.
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from typing import Any

from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.naming import digest
from asteroid.pipeline.order import Runner
from asteroid.pipeline.steps import ATTEMPTS, cores
from asteroid.stages import expected_label_seconds
from asteroid.store import Store, paths, records
from asteroid.store.records import Shards
from asteroid.store.round_records import RoundRecord
from flows.batches import MAX_RUNS, RUN_SECONDS, Batches, logged
from flows.pages import Pages
from flows.step import StepCall

log = logging.getLogger(__name__)

LABEL_START = 3.0
"""s until the first label of a campaign: label workers are started."""


class PoolRunner(Runner):
    """Runs steps as flow runs of the deployment ``step/RESOURCE``.

    Args:
        run_id: of the parent's flow run.
        run_count: number of runs of the parent: each retry allows further attempts.
        pages: of the parent.
    """

    def __init__(self, store: Store, run_id: str, run_count: int, pages: Pages) -> None:
        self._run_id = run_id
        self._pages = pages
        self._batches = Batches(store, run_id, run_count, pages.progress)

    async def run(
        self, name: str, store: Store, molecule: MoleculeSettings, *, occasion: str = "", **parameters: Any
    ) -> None:
        if name == "label":
            await self._label(store, molecule, occasion, **parameters)
        else:
            call = StepCall(molecule, name, parameters)
            began = time.monotonic()
            with self._pages.working(molecule.name, call.title):
                if await self._submit(store, call, occasion):
                    log.info("%s: done after %.0f s", call.title, time.monotonic() - began)

    async def show_rounds(
        self, molecule: MoleculeSettings, rounds: Sequence[RoundRecord], stop: str | None = None
    ) -> None:
        self._pages.rounds(molecule, rounds, stop)

    async def show_outcome(self, store: Store, molecule: MoleculeSettings, outcome: dict[str, Any]) -> None:
        verdict = "certified" if outcome["passed"] else f"not certified ({outcome['state']})"
        log.info("%s: %s. %s Report: %s", molecule.name, verdict, outcome["quality"], outcome["report"])
        await asyncio.to_thread(self._pages.outcome, molecule, outcome)

    async def _label(self, store: Store, molecule: MoleculeSettings, occasion: str, *, level: str) -> None:
        """Label a level in shards, one flow run for each shard with missing labels; progress is that of all shards."""
        parsed = LevelOfTheory.parse(level, imported=True)
        forces = molecule.label_settings(parsed).forces

        async def left() -> int:
            return len(await asyncio.to_thread(store.pending, molecule.name, parsed, forces=forces))

        async def progress() -> str:
            text = f"{title}: {max(total - await left(), 0)} of {total}"
            self._pages.progress(title, text)
            return text

        title = f"{molecule.name}: {level} labels"

        total = await left()
        shards, seconds = await asyncio.to_thread(self._shards, store, molecule, parsed, occasion, total)

        async def submit(shard: int) -> None:
            call = StepCall(molecule, "label", {"level": level, "shard": shard, "shards": shards})
            await self._submit(store, call, occasion, seconds=LABEL_START + seconds)

        with self._pages.working(molecule.name, title):
            if shards == 1:
                await submit(0)
            else:
                async with logged(progress):
                    await asyncio.gather(*map(submit, range(shards)))
        if total:
            log.info("%s", await progress())

    def _shards(
        self, store: Store, molecule: MoleculeSettings, level: LevelOfTheory, occasion: str, missing: int
    ) -> tuple[int, float]:
        """Number of shards of a labelling step, and the estimated seconds of each.

        The number is decided once per pipeline run and stored. A retried parent sees fewer missing frames; with another
        number, its shards would overlap those still running.
        """
        seconds = missing * expected_label_seconds(store, molecule, level) / cores() if missing else 0.0
        path = paths.shards(self._run_id, molecule.name, occasion)
        if store.exists(path):
            shards = records.read(store, Shards, path).shards
        else:
            shards = max(1, min(MAX_RUNS, missing, math.ceil(seconds / RUN_SECONDS)))
            if shards > 1:
                records.write(store, path, Shards(str(level), missing, shards))
        return shards, seconds / shards

    async def _submit(self, store: Store, call: StepCall, occasion: str, *, seconds: float | None = None) -> bool:
        """Run a step until it has completed and nothing is missing; False if nothing was missing.

        Runs that are lost without progress of the step count, up to ATTEMPTS.
        """

        async def lacks() -> bool:
            return await asyncio.to_thread(call.step.lacks, store, call.molecule, **call.parameters)

        if not await lacks():
            return False
        molecule, title = call.molecule, call.title
        # During active learning, each label budget has its own training and certificate.
        labels = [molecule.budget.accurate, molecule.budget.ladder]
        work = digest([molecule.model_name, molecule.name, labels, call.name, call.parameters, occasion])
        resource = call.step.resource_of(molecule, **call.parameters)
        submitted, lost = 0, 0
        known: object = None
        while True:
            # A step with which a run was lost shares no run with others.
            planned = RUN_SECONDS if lost else seconds
            ended = await self._batches.run(call, resource, key=f"{work}/{submitted}", seconds=planned)
            submitted += 1
            if ended.how == "failed":
                raise AsteroidError(f"{title}: {ended.reason.removeprefix(f'{molecule.name}: ')}")
            if ended.how == "returned":
                continue
            if ended.how == "completed" and (call.step.once or not await lacks()):
                return True
            reached = await asyncio.to_thread(_progress, store, call)
            lost = 1 if reached != known else lost + 1
            known = reached
            reason = ended.reason or "results are still missing"
            log.warning("%s, run %d: %s", title, submitted, reason)
            if lost >= ATTEMPTS:
                raise AsteroidError(f"{title} did not complete in {ATTEMPTS} attempts; the last was {reason}")


def _progress(store: Store, call: StepCall) -> object:
    """What a step has stored before its end: frames, labels, and checkpoints of its training."""
    molecule = call.molecule
    if call.name == "label":
        level = LevelOfTheory.parse(call.parameters["level"], imported=True)
        rest = {name: call.parameters[name] for name in ("shard", "shards")}
        return len(store.pending(molecule.name, level, forces=molecule.label_settings(level).forces, **rest))
    folder = paths.checkpoints(molecule.model_name)
    checkpoints = [(name, store.names(f"{folder}/{name}")) for name in store.names(folder)]
    return store.frame_batches(molecule.name), checkpoints
