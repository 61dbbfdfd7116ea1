"""Stages as flow runs on work pools.

A stage is one flow run, or a few shards; a run that is lost is submitted again a bounded number of times, and a parent
that is retried finds its children by their idempotency keys instead of starting them twice.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from prefect import State
from prefect.deployments import arun_deployment
from pydantic import TypeAdapter

from asteroid import paths
from asteroid.engines import process_kind
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.stages import (
    Calculation,
    Step,
    expected_label_seconds,
    is_certified,
    lacks_atoms,
    lacks_calculation,
    read_asked,
    trained_models,
)
from asteroid.store import Store
from flows import artifacts, steps
from flows.progress import LOG_SECONDS
from flows.site import ATTEMPTS, Site, is_trained

log = logging.getLogger(__name__)

SHARD_SECONDS = 300.0
"""Wall time that a shard should take: long against the 4 s and 8 s of slot time that a flow run costs."""

MAX_SHARDS = 64

_MOLECULE = TypeAdapter(MoleculeSettings)


@dataclass
class PoolSite(Site):
    """Stages as flow runs of the deployments in ``prefect.yaml``.

    Args:
        run_id: of the parent's flow run: makes idempotency keys that are stable within one pipeline run.
        run_count: how often the parent has run: each retry of it grants further attempts.
    """

    run_id: str
    run_count: int
    in_flight: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_SHARDS))

    async def sample(self, store: Store, molecule: MoleculeSettings) -> None:
        deployment = "sample/gpu" if process_kind(molecule.cheap) == "torch" else "sample/cheap"
        await self._submit(deployment, store, molecule, "sample", steps.SAMPLING)

    async def label(self, store: Store, molecule: MoleculeSettings, level: LevelOfTheory, *, occasion: str) -> None:
        deployment = "label/cheap" if level == molecule.cheap else "label/accurate"
        if process_kind(level) == "torch":
            deployment = "label/gpu"
        shards = self._shards(store, molecule, level, occasion)
        forces = molecule.label_settings(level).forces
        total = len(store.pending(molecule.name, level, forces=forces))

        async def progress() -> str:
            left = len(await asyncio.to_thread(store.pending, molecule.name, level, forces=forces))
            return f"{molecule.name}: {level} labels: {max(total - left, 0)} of {total}"

        async def run(shard: int) -> None:
            def missing() -> bool:
                return bool(store.pending(molecule.name, level, forces=forces, shard=shard, shards=shards))

            # The first shard computes the free atoms, which training can do without if the pool cannot.
            if missing() or (shard == 0 and lacks_atoms(store, molecule, level)):
                stage = f"{occasion}-{shard}-{shards}"
                parameters = {"level": str(level), "shard": shard, "shards": shards}
                name = steps.labels_name(level, shard, shards)
                await self._submit(deployment, store, molecule, stage, name, missing, **parameters)

        async with _telling(progress):
            await asyncio.gather(*(run(shard) for shard in range(shards)))
        log.info("%s", await progress())

    async def calculate(self, store: Store, molecule: MoleculeSettings, which: Calculation) -> None:
        def missing() -> bool:
            return lacks_calculation(store, molecule, which)

        if missing():
            stage = f"{which}-{molecule.budget.accurate}"
            deployment = "calculate/gpu" if process_kind(molecule.accurate) == "torch" else "calculate/accurate"
            await self._submit(deployment, store, molecule, stage, which, missing, which=which)

    async def train(self, store: Store, molecule: MoleculeSettings, *, baseline: bool = True) -> None:
        # In a loop of rounds each budget is another training.
        stage = f"train-{molecule.budget.accurate}{'' if baseline else '-round'}"

        def missing() -> bool:
            return not is_trained(store, molecule, baseline)

        await self._submit("train/gpu", store, molecule, stage, steps.TRAINING, missing, baseline=baseline)

    async def explore(self, store: Store, molecule: MoleculeSettings, step: Step, number: int) -> None:
        await self._submit("explore/gpu", store, molecule, f"{step}-{number}", step, step=step)

    async def propose(self, store: Store, molecule: MoleculeSettings) -> None:
        # In a loop of rounds, each model that is judged has its own evidence.
        models = trained_models(store, molecule)
        if models is None:
            raise AsteroidError(f"{molecule.name}: the labels changed while it trained; run again to go on")

        def missing() -> bool:
            return read_asked(store, molecule, models.final) is None

        await self._submit("propose/gpu", store, molecule, f"propose-{models.final}", steps.OWN_MD, missing)

    async def certify(self, store: Store, molecule: MoleculeSettings) -> None:
        stage = f"certify-{molecule.budget.accurate}"

        def missing() -> bool:
            return not is_certified(store, molecule)

        await self._submit("certify/gpu", store, molecule, stage, steps.VALIDATION, missing)

    async def show_labels(self, store: Store, molecule: MoleculeSettings) -> None:
        await artifacts.show_labels(store, molecule)

    async def show_rounds(
        self, molecule: MoleculeSettings, rounds: Sequence[dict[str, Any]], stop: str | None = None
    ) -> None:
        await artifacts.show_rounds(molecule, rounds, stop)

    async def show_outcome(self, store: Store, molecule: MoleculeSettings, outcome: dict[str, Any]) -> None:
        await artifacts.show_outcome(store, molecule, outcome)

    def _shards(self, store: Store, molecule: MoleculeSettings, level: LevelOfTheory, occasion: str) -> int:
        """How many shards a labelling stage has: decided once in a pipeline run and kept.

        A parent that is retried sees fewer frames missing; had it decided anew, its shards would overlap those still
        running.
        """
        path = paths.shards(self.run_id, molecule.name, occasion)
        if store.exists(path):
            return int(store.read_json(path)["shards"])
        missing = len(store.pending(molecule.name, level, forces=molecule.label_settings(level).forces))
        seconds = missing * expected_label_seconds(store, molecule, level) / steps.cores()
        shards = max(1, min(MAX_SHARDS, missing, math.ceil(seconds / SHARD_SECONDS)))
        store.write_json(path, {"level": str(level), "frames": missing, "shards": shards})
        return shards

    async def _submit(
        self,
        deployment: str,
        store: Store,
        molecule: MoleculeSettings,
        stage: str,
        name: str,
        missing: Callable[[], bool] = lambda: False,
        **parameters: Any,
    ) -> None:
        """Run a deployment until it has completed and nothing is missing: ATTEMPTS times for each run of the parent.

        Args:
            stage: names the work within this pipeline run.
            name: names it for people.
        """
        # Joined by what no name contains: the molecule "m-round-0" is not a round of "m".
        key = f"{self.run_id}/{molecule.name}/{stage}"
        title = f"{molecule.name}: {name}"
        # How far labels are is told of all shards together.
        alone = not deployment.startswith("label/")
        reason = ""
        for attempt in range(ATTEMPTS * self.run_count):
            async with self.in_flight, _telling(artifacts.progress_of(title)) if alone else nullcontext():
                run = await arun_deployment(
                    deployment,
                    parameters={
                        "store": store.url,
                        "molecule": _MOLECULE.dump_python(molecule, mode="json"),
                        **parameters,
                    },
                    flow_run_name=title,
                    idempotency_key=f"{key}/{attempt}",
                    timeout=None,
                    poll_interval=1,
                )
            if run.state is not None and run.state.is_completed() and not missing():
                return
            # A lost run is sent again. One that failed would fail again, and one that a person cancelled was not
            # wanted; those of an earlier run of the parent are passed over, since somebody has asked to try again.
            lost = run.state is None or run.state.is_crashed() or run.state.is_completed()
            if not lost and attempt >= ATTEMPTS * (self.run_count - 1):
                raise AsteroidError(f"{title}: {_reason(molecule, run.state)}")
            reason = f"{run.state.name}: {run.state.message}" if run.state is not None else "no state"
            log.warning("%s, attempt %d: %s", title, attempt + 1, reason)
        raise AsteroidError(f"{title} did not complete in {ATTEMPTS} attempts; the last was {reason}")


def _reason(molecule: MoleculeSettings, state: State[Any] | None) -> str:
    """What a child said, without the molecule's name, which the parent says."""
    return ((state.message if state else None) or "no reason given").removeprefix(f"{molecule.name}: ")


@asynccontextmanager
async def _telling(progress: Callable[[], Awaitable[str]]) -> AsyncIterator[None]:
    """Log how far the work in the block is, whenever that has changed and not more often than people want to read."""

    async def tell() -> None:
        told = ""
        while True:
            await asyncio.sleep(LOG_SECONDS)
            # A store that is away for a moment is the work's concern.
            with suppress(AsteroidError):
                if (now := await progress()) != told:
                    log.info("%s", now)
                    told = now

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
