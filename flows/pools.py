"""Steps as flow runs on work pools.

A step is one flow run, or several shards. A lost run is submitted again a limited number of times. A parent that is
retried finds its children by their idempotency keys instead of starting them again.
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
from asteroid.store import Store, paths, records
from asteroid.store.records import Shards
from asteroid.store.round_records import RoundRecord
from flows import artifacts

log = logging.getLogger(__name__)

SHARD_SECONDS = 300.0
"""Target wall time of a shard: long compared with the 4 to 8 s of slot time that a flow run costs."""

MAX_SHARDS = 64

_MOLECULE = TypeAdapter(MoleculeSettings)


@dataclass
class PoolRunner(Runner):
    """Runs steps as flow runs of the deployment ``step/RESOURCE``.

    Args:
        run_id: of the parent's flow run, for idempotency keys that are stable within one pipeline run.
        run_count: number of runs of the parent: each retry allows further attempts.
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
        async with _logged(artifacts.progress_of(STEPS[name].title(molecule, **parameters))):
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
        """Label a level in shards, one flow run for each shard with missing labels; progress is that of all shards."""
        parsed = LevelOfTheory.parse(level, imported=True)
        forces = molecule.label_settings(parsed).forces

        async def left() -> int:
            return len(await asyncio.to_thread(store.pending, molecule.name, parsed, forces=forces))

        async def progress() -> str:
            return f"{molecule.name}: {level} labels: {max(total - await left(), 0)} of {total}"

        total = await left()
        shards = await asyncio.to_thread(self._shards, store, molecule, parsed, occasion, total)
        async with _logged(progress):
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
        """Number of shards of a labelling step, decided once per pipeline run and stored.

        A retried parent sees fewer missing frames; with another number, its shards would overlap those still running.
        """
        path = paths.shards(self.run_id, molecule.name, occasion)
        if store.exists(path):
            return records.read(store, Shards, path).shards
        if not missing:
            return 1
        seconds = missing * expected_label_seconds(store, molecule, level) / cores()
        shards = max(1, min(MAX_SHARDS, missing, math.ceil(seconds / SHARD_SECONDS)))
        records.write(store, path, Shards(str(level), missing, shards))
        return shards

    async def _submit(
        self, name: str, store: Store, molecule: MoleculeSettings, occasion: str, **parameters: Any
    ) -> None:
        """Run a step until it has completed and nothing is missing; ATTEMPTS times for each run of the parent."""
        step = STEPS[name]

        async def lacks() -> bool:
            return await asyncio.to_thread(step.lacks, store, molecule, **parameters)

        if not await lacks():
            return
        title = step.title(molecule, **parameters)
        # During active learning, each label budget has its own training and certificate.
        labels = [molecule.budget.accurate, molecule.budget.ladder]
        work = digest([molecule.model_name, molecule.name, labels, name, parameters, occasion])
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
            # Lost runs are submitted again. Failed runs would fail again, and cancelled ones are not wanted, except
            # those of an earlier run of the parent, which the user has retried.
            lost = run.state is None or run.state.is_crashed() or run.state.is_completed()
            if not lost and attempt >= ATTEMPTS * (self.run_count - 1):
                raise AsteroidError(f"{title}: {_reason(molecule, run.state)}")
            reason = f"{run.state.name}: {run.state.message}" if run.state is not None else "no state"
            log.warning("%s, attempt %d: %s", title, attempt + 1, reason)
        raise AsteroidError(f"{title} did not complete in {ATTEMPTS} attempts; the last was {reason}")


def _reason(molecule: MoleculeSettings, state: State[Any] | None) -> str:
    """Message of a child without the molecule's name, which the parent adds."""
    return ((state.message if state else None) or "no reason given").removeprefix(f"{molecule.name}: ")


@asynccontextmanager
async def _logged(progress: Callable[[], Awaitable[str]]) -> AsyncIterator[None]:
    """Log changes in the progress of the work in the block, at most every LOG_SECONDS."""

    async def log_changes() -> None:
        last = ""
        while True:
            await asyncio.sleep(LOG_SECONDS)
            # A store that is unreachable for a moment concerns only the work itself.
            with suppress(AsteroidError):
                if (now := await progress()) != last:
                    log.info("%s", now)
                    last = now

    logging_task = asyncio.create_task(log_changes())
    try:
        yield
    finally:
        logging_task.cancel()
