"""Flow runs that several steps share.

A flow run costs a worker the start of a process, and the server dozens of requests. So steps that are ready at the same
time and need the same workers share a run, up to :data:`RUN_SECONDS` of work. While a run of a pool has not been
started, its workers are busy, and further steps are collected: waiting with them costs no time.

The time of a step is an estimate of the caller, or the mean of its kind in earlier runs. A step of an unknown kind has
a run of its own.
"""

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State, StateType
from prefect.deployments import arun_deployment
from pydantic import TypeAdapter

from asteroid.errors import AsteroidError
from asteroid.naming import digest
from asteroid.pipeline.progress import LOG_SECONDS, LONGEST_SILENCE
from asteroid.store import Store
from flows import artifacts
from flows.step import NOT_STARTED, StepCall, run_name

log = logging.getLogger(__name__)

RUN_SECONDS = 300.0
"""Planned time of a run: long compared with the 4 to 8 s of slot time that it costs."""

LEAST_SECONDS = 60.0
"""Steps that take less than this together are not divided among runs."""

MAX_RUNS = 64
"""Runs of one parent that have not ended."""

MAX_BYTES = 250_000
"""Parameters of one run; the server takes twice as many."""

POLL_SECONDS = 2.0
LONGEST_POLL = 10.0
"""Between two questions whether runs have ended, which cost the server some 40 ms of CPU each."""

POLL_PART = 1 / 30
"""Time between two questions, as a part of the time since a run was submitted or ended."""

RETRY_SECONDS = 5.0

_CALL = TypeAdapter(StepCall)


@dataclass(frozen=True)
class Ended:
    """How a run ended for one of its steps.

    Args:
        how: ``lost``: the run was lost while it was at this step; ``returned``: before it was at this step.
        reason: of a failed or lost step.
    """

    how: Literal["completed", "failed", "lost", "returned"]
    reason: str = ""


@dataclass
class _Ready:
    """A step that waits for a run."""

    call: StepCall
    key: str
    seconds: float | None
    ended: "asyncio.Future[Ended]"

    @cached_property
    def content(self) -> dict[str, Any]:
        return content_of(self.call)

    @cached_property
    def bytes(self) -> int:
        return len(json.dumps(self.content))

    @property
    def kind(self) -> str:
        return f"{self.call.name} {self.call.parameters.get('level', '')}"


@dataclass(eq=False)
class _Run:
    """A submitted run; ``id`` is None until the server has it."""

    resource: str
    calls: Sequence[StepCall]
    id: UUID | None = None
    started: bool = False
    ended: "asyncio.Future[FlowRun]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batches:
    """Runs steps on the deployments ``step/RESOURCE``.

    Args:
        parent: id of the parent's flow run.
        attempt: number of the parent's run, so that a retried parent submits new runs.
        on_progress: called with the title of a step that has a run of its own, and with its progress in one line.
    """

    def __init__(
        self,
        store: Store,
        parent: str,
        attempt: int,
        on_progress: Callable[[str, str], None] = lambda _title, _text: None,
    ) -> None:
        self._store, self._parent, self._attempt = store, parent, attempt
        self._on_progress = on_progress
        self._ready: dict[str, list[_Ready]] = defaultdict(list)
        self._runs: list[_Run] = []
        self._prices: dict[str, float] = {}
        self._adopted: dict[str, _Run] | None = None
        self._adopting = asyncio.Lock()
        self._work: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    async def run(self, call: StepCall, resource: str, *, key: str, seconds: float | None) -> Ended:
        """Run a step once.

        Args:
            key: unique within a run of the parent; the same run is not submitted twice.
            seconds: estimated time; None for the mean of its kind.
        """
        if (adopted := (await self._orphans()).pop(digest(content_of(call)), None)) is not None:
            self._watch()
            run = await asyncio.shield(adopted.ended)
            ended = (await self._how_it_ended(adopted.calls, run.state))[call.title]
            # What failed or was cancelled before the user retried the parent is run again.
            return Ended("returned") if ended.how == "failed" else ended
        ready = _Ready(call, key, seconds, asyncio.get_running_loop().create_future())
        self._ready[resource].append(ready)
        self._watch()
        return await ready.ended

    async def _orphans(self) -> dict[str, _Run]:
        """Unfinished runs of an earlier run of the parent, by the content of each of their steps."""
        async with self._adopting:
            if self._adopted is None:
                self._adopted = {}
                if self._attempt > 1:
                    async with get_client() as client:
                        found = await _all_runs(
                            client,
                            FlowRunFilter(
                                parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[UUID(self._parent)]),
                                state=FlowRunFilterState(type=FlowRunFilterStateType(not_any_=sorted(TERMINAL_STATES))),
                            ),
                        )
                    for one in found:
                        calls = [_CALL.validate_python(content) for content in one.parameters["steps"]]
                        run = _Run("", calls, one.id)
                        self._runs.append(run)
                        self._adopted |= {digest(content_of(call)): run for call in calls}
            return self._adopted

    def _watch(self) -> None:
        if self._loop is None:
            self._loop = asyncio.create_task(self._submit_and_watch())

    async def _submit_and_watch(self) -> None:
        """Submit runs and learn how they ended, while there are any."""
        changed = time.monotonic()
        try:
            async with get_client() as client:
                while self._runs or any(self._ready.values()):
                    # Steps that become ready at the same time gather meanwhile.
                    quiet = time.monotonic() - changed
                    await asyncio.sleep(min(max(POLL_SECONDS, POLL_PART * quiet), LONGEST_POLL))
                    try:
                        if await self._poll(client):
                            changed = time.monotonic()
                    except httpx.TransportError as error:
                        log.warning("the server does not answer: %s", error)
                        continue
                    for resource in self._ready:
                        while batch := self._next_batch(resource):
                            run = _Run(resource, [ready.call for ready in batch])
                            self._runs.append(run)
                            changed = time.monotonic()
                            task = asyncio.create_task(self._follow(run, batch))
                            self._work.add(task)
                            task.add_done_callback(self._work.discard)
                # Before anything is awaited: a step that becomes ready now needs another loop.
                self._loop = None
        except Exception as error:
            for ready in (ready for queue in self._ready.values() for ready in queue):
                _fail(ready, error)
            for run in self._runs:
                if not run.ended.done():
                    run.ended.set_exception(error)
            self._ready.clear()
            self._runs.clear()
            self._loop = None

    async def _poll(self, client: PrefectClient) -> bool:
        """Ask for those runs alone whose state has changed: their parameters come with them.

        Returns:
            Whether a run has ended.
        """
        known = {run.id: run for run in self._runs if run.id is not None}
        waiting = [run.id for run in known.values() if run.id and not run.started]
        # Only steps that are ready have to know whether workers are free.
        if waiting and any(self._ready.values()):
            for found in await _all_runs(client, _in_states(waiting, {StateType.RUNNING})):
                known[found.id].started = True
        ended = await _all_runs(client, _in_states([i for i in known if i], TERMINAL_STATES)) if known else []
        for found in ended:
            run = known[found.id]
            self._runs.remove(run)
            run.ended.set_result(found)
        return bool(ended)

    def _next_batch(self, resource: str) -> list[_Ready]:
        """Take the steps of the next run from those that are ready; none if they are to wait."""
        queue, runs = self._ready[resource], [run for run in self._runs if run.resource == resource]
        if not queue or len(self._runs) >= MAX_RUNS:
            return []
        waiting = sum(not run.started for run in runs)
        if waiting >= max(1, len(runs) - waiting):
            # Of unknown time, no more runs are submitted than workers start.
            queue = [ready for ready in queue if self._seconds(ready) is not None]
            if sum(self._seconds(ready) or 0.0 for ready in queue) < RUN_SECONDS:
                return []
        each = [(ready, self._seconds(ready) or RUN_SECONDS) for ready in queue]
        # The later half is for other workers; if there are none, it is joined by what becomes ready meanwhile.
        most = max(LEAST_SECONDS, min(RUN_SECONDS, sum(seconds for _, seconds in each) / 2))
        batch: list[_Ready] = []
        total, size = 0.0, 0
        for ready, seconds in each:
            total, size = total + seconds, size + ready.bytes
            if batch and (total > most or size > MAX_BYTES):
                break
            batch.append(ready)
        for ready in batch:
            self._ready[resource].remove(ready)
        return batch

    def _seconds(self, ready: _Ready) -> float | None:
        return ready.seconds if ready.seconds is not None else self._prices.get(ready.kind)

    async def _follow(self, run: _Run, batch: Sequence[_Ready]) -> None:
        """Submit a run, wait for its end, and tell its steps."""

        async def progress() -> str:
            text = await artifacts.read_progress(run.id) if run.id is not None else ""
            if text and len(run.calls) == 1:
                self._on_progress(run.calls[0].title, text)
            return text

        try:
            run.id = await self._create(run_name(run.calls), run.resource, batch)
            async with logged(progress):
                found = await run.ended
            ends = await self._how_it_ended(run.calls, found.state)
            started = [ready for ready in batch if ends[ready.call.title].how in ("completed", "failed")]
            if len({ready.kind for ready in started}) == 1:
                self._prices[started[0].kind] = found.total_run_time.total_seconds() / len(started)
            for ready in batch:
                if not ready.ended.done():
                    ready.ended.set_result(ends[ready.call.title])
        except Exception as error:
            if run in self._runs:
                self._runs.remove(run)
            for ready in batch:
                _fail(ready, error)

    async def _create(self, name: str, resource: str, batch: Sequence[_Ready]) -> UUID:
        """Submit a run, also after the server was away for a while."""
        key = f"{self._parent}/{self._attempt}/{digest(sorted(ready.key for ready in batch))}"
        while True:
            try:
                created = await arun_deployment(
                    f"step/{resource}",
                    parameters={"store": self._store.url, "steps": [ready.content for ready in batch]},
                    flow_run_name=name,
                    idempotency_key=key,
                    timeout=0,
                )
                return created.id
            except httpx.TransportError as error:
                log.warning("%s: not submitted, the server does not answer: %s", name, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _how_it_ended(self, calls: Sequence[StepCall], state: State[Any] | None) -> dict[str, Ended]:
        """How a run ended for each of its steps, by title."""
        message = (state.message if state else None) or "no reason given"
        if state is not None and (state.is_completed() or state.is_failed()):
            lines = {call.title: _line_of(call.title, message) for call in calls}
            if state.is_failed() and not any(lines.values()):
                # The flow itself failed, before its steps.
                return {title: Ended("failed", message) for title in lines}
            return {title: _ended(line) for title, line in lines.items()}
        found: dict[str, Ended] = {}
        culprit = False
        for call in calls:
            if not await asyncio.to_thread(call.step.lacks, self._store, call.molecule, **call.parameters):
                found[call.title] = Ended("completed")
            elif state is not None and state.is_cancelled():
                found[call.title] = Ended("failed", message)
            else:
                # Steps run in their order: the first one without a result was at work.
                reason = f"{state.name}: {message}" if state is not None else message
                found[call.title] = Ended("returned" if culprit else "lost", reason)
                culprit = True
        return found


def content_of(call: StepCall) -> dict[str, Any]:
    """A step as JSON values, without the settings that have their defaults.

    The molecule of a manifest has 2 KB with them and 0.5 KB without.
    """
    content: dict[str, Any] = _CALL.dump_python(call, mode="json", exclude_defaults=True)
    return content


def _line_of(title: str, message: str) -> str:
    """The reason that a run's message has for this step; "" without one."""
    return next((line[len(title) + 2 :] for line in message.splitlines() if line.startswith(f"{title}: ")), "")


def _ended(line: str) -> Ended:
    if not line:
        return Ended("completed")
    return Ended("returned") if line == NOT_STARTED else Ended("failed", line)


def _fail(ready: _Ready, error: Exception) -> None:
    if not ready.ended.done():
        ready.ended.set_exception(error)


def _in_states(ids: Sequence[UUID], states: set[StateType]) -> FlowRunFilter:
    return FlowRunFilter(
        id=FlowRunFilterId(any_=list(ids)),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=sorted(states))),
    )


async def _all_runs(client: PrefectClient, wanted: FlowRunFilter) -> list[FlowRun]:
    """Runs of one parent that have not ended, or just now: fewer than the 200 of one answer of the server."""
    return await client.read_flow_runs(flow_run_filter=wanted)


@asynccontextmanager
async def logged(progress: Callable[[], Awaitable[str]]) -> AsyncIterator[None]:
    """Ask for the progress of the work in the block every LOG_SECONDS, and log changes ever more rarely."""

    async def log_changes() -> None:
        last, logged, pause = "", time.monotonic(), 0.0
        while True:
            await asyncio.sleep(LOG_SECONDS)
            # A store that is unreachable for a moment concerns only the work itself.
            with suppress(AsteroidError):
                if (now := await progress()) != last and time.monotonic() - logged >= pause:
                    log.info("%s", now)
                    last, logged, pause = now, time.monotonic(), min(max(2 * pause, LOG_SECONDS), LONGEST_SILENCE)

    logging_task = asyncio.create_task(log_changes())
    try:
        yield
    finally:
        logging_task.cancel()
