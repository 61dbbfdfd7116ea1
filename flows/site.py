"""Where stages run: on this machine, or as flow runs on work pools.

A :class:`Site` runs one stage and returns when the store holds its result. On pools a stage is one flow run, or a few
shards; a run that is lost is submitted again a bounded number of times, and a parent that is retried finds its children
by their idempotency keys instead of starting them twice.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from prefect.deployments import arun_deployment
from pydantic import TypeAdapter

from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.stages import (
    Calculation,
    Step,
    expected_label_seconds,
    is_certified,
    lacks_calculation,
    read_asked,
    round_model,
    trained_models,
)
from asteroid.store import Store
from flows import stages as stage_flows

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a lost flow run is submitted again, for each run of the parent."""

SHARD_SECONDS = 300.0
"""Wall time that a shard should take: long against the 4 s and 8 s of slot time that a flow run costs."""

MAX_SHARDS = 64

_MOLECULE = TypeAdapter(MoleculeSettings)


@dataclass
class LocalSite:
    """Everything in this process and its children. Labelling stages follow one another, each on all cores."""

    labelling: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    training: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(stage_flows.cores()))

    async def sample(self, store: Store, molecule: MoleculeSettings) -> None:
        async with self.labelling:
            await stage_flows.sample(store.url, molecule)

    async def label(self, store: Store, molecule: MoleculeSettings, level: LevelOfTheory, *, occasion: str) -> None:
        forces = molecule.label_settings(level).forces
        wanted = set(store.pending(molecule.name, level, forces=forces))
        async with self.labelling:
            await stage_flows.label(store.url, molecule, str(level))
        # What another pipeline has asked for meanwhile is that one's work.
        if wanted.intersection(store.pending(molecule.name, level, forces=forces)):
            raise AsteroidError(f"{molecule.name}: {level} labels are missing after their stage; run again to go on")

    async def calculate(self, store: Store, molecule: MoleculeSettings, which: Calculation) -> None:
        if lacks_calculation(store, molecule, which):
            async with self.labelling:
                await stage_flows.calculate(store.url, molecule, which)

    async def train(self, store: Store, molecule: MoleculeSettings, *, baseline: bool = True) -> None:
        for _ in range(ATTEMPTS):
            async with self.training:
                await stage_flows.train(store.url, molecule, baseline)
            # Labels may have come or been withdrawn while it trained.
            if _is_trained(store, molecule, baseline):
                break

    async def explore(self, store: Store, molecule: MoleculeSettings, step: Step, number: int) -> None:
        async with self.training:
            await stage_flows.explore(store.url, molecule, step)

    async def propose(self, store: Store, molecule: MoleculeSettings) -> None:
        async with self.training:
            await stage_flows.propose(store.url, molecule)

    async def certify(self, store: Store, molecule: MoleculeSettings) -> None:
        async with self.training:
            await stage_flows.certify(store.url, molecule)


@dataclass
class PoolSite:
    """Stages as flow runs of the deployments in ``prefect.yaml``.

    Args:
        run_id: of the parent's flow run: makes idempotency keys that are stable within one pipeline run.
        run_count: how often the parent has run: each retry of it grants further attempts.
    """

    run_id: str
    run_count: int
    in_flight: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_SHARDS))

    async def sample(self, store: Store, molecule: MoleculeSettings) -> None:
        await self._submit("sample/cheap", store, molecule, "sample")

    async def label(self, store: Store, molecule: MoleculeSettings, level: LevelOfTheory, *, occasion: str) -> None:
        deployment = "label/cheap" if level == molecule.cheap else "label/accurate"
        shards = self._shards(store, molecule, level, occasion)
        forces = molecule.label_settings(level).forces

        async def run(shard: int) -> None:
            def missing() -> bool:
                return bool(store.pending(molecule.name, level, forces=forces, shard=shard, shards=shards))

            if missing():
                stage = f"{occasion}-{shard}-{shards}"
                parameters = {"level": str(level), "shard": shard, "shards": shards}
                await self._submit(deployment, store, molecule, stage, missing, **parameters)

        await asyncio.gather(*(run(shard) for shard in range(shards)))

    async def calculate(self, store: Store, molecule: MoleculeSettings, which: Calculation) -> None:
        def missing() -> bool:
            return lacks_calculation(store, molecule, which)

        if missing():
            stage = f"{which}-{molecule.budget.accurate}"
            await self._submit("calculate/accurate", store, molecule, stage, missing, which=which)

    async def train(self, store: Store, molecule: MoleculeSettings, *, baseline: bool = True) -> None:
        # In a loop of rounds each budget is another training.
        stage = f"train-{molecule.budget.accurate}{'' if baseline else '-round'}"

        def missing() -> bool:
            return not _is_trained(store, molecule, baseline)

        await self._submit("train/gpu", store, molecule, stage, missing, baseline=baseline)

    async def explore(self, store: Store, molecule: MoleculeSettings, step: Step, number: int) -> None:
        await self._submit("explore/gpu", store, molecule, f"{step}-{number}", step=step)

    async def propose(self, store: Store, molecule: MoleculeSettings) -> None:
        # In a loop of rounds, each model that is judged has its own evidence.
        models = trained_models(store, molecule)
        if models is None:
            raise AsteroidError(f"{molecule.name}: the labels changed while it trained; run again to go on")

        def missing() -> bool:
            return read_asked(store, molecule, models.final) is None

        await self._submit("propose/gpu", store, molecule, f"propose-{models.final}", missing)

    async def certify(self, store: Store, molecule: MoleculeSettings) -> None:
        stage = f"certify-{molecule.budget.accurate}"
        await self._submit("certify/gpu", store, molecule, stage, lambda: not is_certified(store, molecule))

    def _shards(self, store: Store, molecule: MoleculeSettings, level: LevelOfTheory, occasion: str) -> int:
        """How many shards a labelling stage has: decided once in a pipeline run and kept.

        A parent that is retried sees fewer frames missing; had it decided anew, its shards would overlap those still
        running.
        """
        path = f"runs/{self.run_id}/{molecule.name}/{quote(occasion, safe='')}.json"
        if store.exists(path):
            return int(store.read_json(path)["shards"])
        missing = len(store.pending(molecule.name, level, forces=molecule.label_settings(level).forces))
        seconds = missing * expected_label_seconds(store, molecule, level) / stage_flows.cores()
        shards = max(1, min(MAX_SHARDS, missing, math.ceil(seconds / SHARD_SECONDS)))
        store.write_json(path, {"level": str(level), "frames": missing, "shards": shards})
        return shards

    async def _submit(
        self,
        deployment: str,
        store: Store,
        molecule: MoleculeSettings,
        stage: str,
        missing: Callable[[], bool] = lambda: False,
        **parameters: Any,
    ) -> None:
        """Run a deployment until it has completed and nothing is missing: ATTEMPTS times for each run of the parent."""
        # Joined by what no name contains: the molecule "m-round-0" is not a round of "m".
        key = f"{self.run_id}/{molecule.name}/{stage}"
        reason = ""
        for attempt in range(ATTEMPTS * self.run_count):
            async with self.in_flight:
                run = await arun_deployment(
                    deployment,
                    parameters={
                        "store": store.url,
                        "molecule": _MOLECULE.dump_python(molecule, mode="json"),
                        **parameters,
                    },
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
                raise AsteroidError(f"{molecule.name}: {deployment}: {run.state.message if run.state else ''}")
            reason = f"{run.state.name}: {run.state.message}" if run.state is not None else "no state"
            log.warning("%s of %s, attempt %d: %s", deployment, molecule.name, attempt + 1, reason)
        raise AsteroidError(
            f"{molecule.name}: {deployment} did not complete in {ATTEMPTS} attempts; the last was {reason}"
        )


def _is_trained(store: Store, molecule: MoleculeSettings, baseline: bool) -> bool:
    """Whether a training has left what it was to make of the labels now in the store."""
    return (trained_models if baseline else round_model)(store, molecule) is not None
