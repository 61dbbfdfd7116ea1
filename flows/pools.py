"""Steps as flow runs on work pools.

A step is one flow run, or a few shards; a run that is lost is submitted again a bounded number of times, and a parent
that is retried finds its children by their idempotency keys instead of starting them twice.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from prefect import State
from prefect.deployments import arun_deployment
from pydantic import TypeAdapter

from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.naming import digest
from asteroid.pipeline.order import Runner
from asteroid.pipeline.progress import LOG_SECONDS
from asteroid.pipeline.steps import ATTEMPTS, STEPS, cores
from asteroid.stages import expected_label_seconds
from asteroid.store import Store, paths
from asteroid.store.round_records import RoundRecord
from flows import artifacts

log = logging.getLogger(__name__)

SHARD_SECONDS = 300.0
"""Wall time that a shard should take: long against the 4 s and 8 s of slot time that a flow run costs."""

MAX_SHARDS = 64

_MOLECULE = TypeAdapter(MoleculeSettings)


@dataclass
class PoolRunner(Runner):
    """Steps as flow runs of the deployment ``step/RESOURCE`` of their resource class.

    Args:
        run_id: of the parent's flow run: makes idempotency keys that are stable within one pipeline run.
        run_count: how often the parent has run: each retry of it grants further attempts.
    """

    run_id: str
    run_count: int
    in_flight: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_SHARDS))

    async def run(
        self, name: str, store: Store, molecule: MoleculeSettings, *, occasion: str = "", **parameters: Any
    ) -> None:
        if name == "label":
            await self._label(store, molecule, occasion, **parameters)
            return
        async with _telling(artifacts.progress_of(STEPS[name].title(molecule, **parameters))):
            await self._submit(name, store, molecule, occasion, **parameters)

    async def show_labels(self, store: Store, molecule: MoleculeSettings) -> None:
        await artifacts.show_labels(store, molecule)

    async def show_rounds(
        self, molecule: MoleculeSettings, rounds: Sequence[RoundRecord], stop: str | None = None
    ) -> None:
        await artifacts.show_rounds(molecule, rounds, stop)

    async def show_outcome(self, store: Store, molecule: MoleculeSettings, outcome: dict[str, Any]) -> None:
        await artifacts.show_outcome(store, molecule, outcome)

    async def _label(self, store: Store, molecule: MoleculeSettings, occasion: str, *, level: str) -> None:
        """The labels of a level in shards, each a flow run where it lacks something; told of together."""
        parsed = LevelOfTheory.parse(level, imported=True)
        forces = molecule.label_settings(parsed).forces

        async def left() -> int:
            return len(await asyncio.to_thread(store.pending, molecule.name, parsed, forces=forces))

        async def progress() -> str:
            return f"{molecule.name}: {level} labels: {max(total - await left(), 0)} of {total}"

        total = await left()
        shards = await asyncio.to_thread(self._shards, store, molecule, parsed, occasion, total)
        async with _telling(progress):
            each = (
                self._submit("label", store, molecule, occasion, level=level, shard=shard, shards=shards)
                for shard in range(shards)
            )
            await asyncio.gather(*each)
        if total:
            log.info("%s", await progress())

    def _shards(
        self, store: Store, molecule: MoleculeSettings, level: LevelOfTheory, occasion: str, missing: int
    ) -> int:
        """How many shards a labelling step has: decided once in a pipeline run and kept.

        A parent that is retried sees fewer frames missing; had it decided anew, its shards would overlap those still
        running.
        """
        path = paths.shards(self.run_id, molecule.name, occasion)
        if store.exists(path):
            return int(store.read_json(path)["shards"])
        if not missing:
            return 1
        seconds = missing * expected_label_seconds(store, molecule, level) / cores()
        shards = max(1, min(MAX_SHARDS, missing, math.ceil(seconds / SHARD_SECONDS)))
        store.write_json(path, {"level": str(level), "frames": missing, "shards": shards})
        return shards

    async def _submit(
        self, name: str, store: Store, molecule: MoleculeSettings, occasion: str, **parameters: Any
    ) -> None:
        """Run a step until it has completed and nothing is missing: ATTEMPTS times for each run of the parent."""
        step = STEPS[name]

        async def lacks() -> bool:
            return await asyncio.to_thread(step.lacks, store, molecule, **parameters)

        if not await lacks():
            return
        title = step.title(molecule, **parameters)
        # In a loop of rounds, each budget is another training and another certificate.
        work = digest([molecule.model_name, molecule.name, molecule.budget.accurate, name, parameters, occasion])
        reason = ""
        for attempt in range(ATTEMPTS * self.run_count):
            async with self.in_flight:
                run = await arun_deployment(
                    f"step/{step.resource_of(molecule, **parameters)}",
                    parameters={
                        "store": store.url,
                        "molecule": _MOLECULE.dump_python(molecule, mode="json"),
                        "name": name,
                        "parameters": parameters,
                    },
                    flow_run_name=title,
                    idempotency_key=f"{self.run_id}/{work}/{attempt}",
                    timeout=None,
                    poll_interval=1,
                )
            if run.state is not None and run.state.is_completed() and (step.once or not await lacks()):
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
