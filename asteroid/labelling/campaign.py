"""Many labels on all cores: worker processes that may die, results that reach the store within seconds.

:func:`run_campaign` takes from the store what is pending and writes attempts back; :func:`label_configurations` does
the same for configurations at hand. Quantum chemistry always runs in workers, never in the caller's process, which may
hold torch: a worker is ready in about half a second.

Workers are spawned without the caller's ``__main__`` (:class:`asteroid.processes.CleanContext`), so a calling script
needs no ``if __name__ == "__main__"`` guard for them. They import :mod:`asteroid.labelling.attempt`, not this
module, whose store would bring pandas along.
"""

import itertools
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asteroid.configuration import Configuration
from asteroid.errors import AsteroidError
from asteroid.labelling import Labeller, make_labeller
from asteroid.labelling.attempt import failed_attempt, label_chunk
from asteroid.levels import LevelOfTheory
from asteroid.processes import CleanContext, describe_exit, die_with_parent, single_thread_environment
from asteroid.records import Attempt
from asteroid.store import Store

if TYPE_CHECKING:
    from pebble import ProcessPool

CHUNK_SECONDS: Final = 0.5
"""Frames go to a worker in chunks of about this much work: sending costs a millisecond, as much as a cheap label."""

LARGEST_CHUNK: Final = 500

TOLD_TO_END: Final = (-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP, signal.SIGTERM)
"""Exit codes of a worker that somebody stopped (pebble makes SIGTERM positive): no fault of the frame."""

HEARTBEAT: Final = 1.0
"""s, how often the caller gets control back to flush although nothing is finished."""

LARGEST_BREAKDOWN: Final = 3
"""Times in a row that the whole pool may break before the machine, and not a frame, is held responsible."""


@dataclass(frozen=True)
class CampaignSummary:
    """What one run of a campaign did; frames labelled in earlier runs are not counted."""

    total: int
    ok: int
    failed: int
    rejected: int
    core_seconds: float
    wall_seconds: float


def run_campaign(
    store: Store,
    molecule: str,
    level: LevelOfTheory,
    *,
    engine: str | None = None,
    shard: int = 0,
    shards: int = 1,
    workers: int = 1,
    time_limit: float | None = None,
    flush_seconds: float = 30.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> CampaignSummary:
    """Label what is selected and has no attempt yet; run it again after a crash and it computes only what is missing.

    Args:
        shard, shards: label the frames of one of several disjoint shards.
        time_limit: s a label may take before it counts as failed.
        flush_seconds: finished attempts reach the store at least this often, and when the campaign is interrupted.
        on_progress: called with (attempts made, attempts in all) at least once a second. When it raises, what is
            finished is flushed and the campaign ends.

    Raises:
        AsteroidError: when workers cannot be started.
    """
    start = time.perf_counter()
    pending = store.pending(molecule, level, shard=shard, shards=shards)
    frames = {frame.frame_id: frame.configuration for frame in store.frames(molecule, ids=pending)} if pending else {}
    configurations = [frames[frame_id] for frame_id in pending if frame_id in frames]
    counts = {"ok": 0, "failed": 0, "rejected": 0}
    core_seconds = 0.0
    unsaved: list[Attempt] = []
    flushed = time.monotonic()
    try:
        for finished in _completed(configurations, level, engine, workers, forces=True, time_limit=time_limit):
            for one in finished:
                counts[one.status] += 1
                core_seconds += one.core_seconds
            unsaved += finished
            if unsaved and time.monotonic() - flushed >= flush_seconds:
                store.add_attempts(molecule, level, unsaved)
                unsaved, flushed = [], time.monotonic()
            if on_progress:
                on_progress(sum(counts.values()), len(configurations))
    finally:
        store.add_attempts(molecule, level, unsaved)
    return CampaignSummary(
        total=sum(counts.values()), **counts, core_seconds=core_seconds, wall_seconds=time.perf_counter() - start
    )


def label_configurations(
    configurations: Sequence[Configuration],
    level: LevelOfTheory,
    *,
    engine: str | None = None,
    workers: int = 1,
    forces: bool = True,
    time_limit: float | None = None,
) -> Iterator[Attempt]:
    """Attempts of these configurations, as they finish (not in their order: see ``Attempt.frame_id``).

    Raises:
        AsteroidError: when workers cannot be started.
    """
    for finished in _completed(configurations, level, engine, workers, forces=forces, time_limit=time_limit):
        yield from finished


@dataclass(frozen=True)
class _Chunk:
    configurations: tuple[Configuration, ...]
    submitted: float


def _completed(
    configurations: Sequence[Configuration],
    level: LevelOfTheory,
    engine: str | None,
    workers: int,
    *,
    forces: bool,
    time_limit: float | None,
) -> Iterator[list[Attempt]]:
    """Lists of finished attempts, an empty one at every heartbeat.

    A pool breaks as a whole only when a worker dies between two chunks; it is then replaced, and nothing but the chunks
    in flight is computed again.
    """
    from pebble import ProcessPool

    if not configurations:
        return
    labeller = make_labeller(level, engine)
    queue = _Queue(configurations)
    single_thread_environment()
    breakdowns = 0
    while queue:
        pool = ProcessPool(
            max_workers=min(workers, len(configurations)), initializer=die_with_parent, context=CleanContext()
        )
        try:
            for finished in _drain(pool, queue, labeller, engine, workers, forces, time_limit):
                breakdowns = 0 if finished else breakdowns
                yield finished
        except BrokenProcessPool as error:
            breakdowns += 1
            if breakdowns >= LARGEST_BREAKDOWN:
                raise AsteroidError(
                    f"labelling workers cannot be kept alive: {error or 'they end as they start'}"
                ) from error
        finally:
            pool.stop()
            pool.join()


class _Queue:
    """Frames still to be labelled; suspects, whose chunk died, go first and alone."""

    def __init__(self, configurations: Sequence[Configuration]) -> None:
        self._fresh = deque(configurations)
        self._suspects: deque[Configuration] = deque()
        self.chunk_size = 1

    def __bool__(self) -> bool:
        return bool(self._fresh or self._suspects)

    def take(self) -> tuple[Configuration, ...]:
        if self._suspects:
            return (self._suspects.popleft(),)
        size = min(self.chunk_size, len(self._fresh))
        return tuple(self._fresh.popleft() for _ in range(size))

    def give_back(self, configurations: Sequence[Configuration]) -> None:
        self._suspects.extend(configurations)

    def learn(self, attempts: Sequence[Attempt], workers: int) -> None:
        """Choose the size of the next chunks from what these labels took."""
        mean = sum(one.wall_seconds for one in attempts) / len(attempts)
        # Near the end smaller chunks keep all workers busy to the last.
        fair = len(self._fresh) // (4 * workers)
        self.chunk_size = max(1, min(int(CHUNK_SECONDS / max(mean, 1e-6)), LARGEST_CHUNK, fair))


def _drain(
    pool: "ProcessPool",
    queue: _Queue,
    labeller: Labeller,
    engine: str | None,
    workers: int,
    forces: bool,
    time_limit: float | None,
) -> Iterator[list[Attempt]]:
    """Work through the queue with one pool; what is in flight when the pool breaks goes back to the queue."""
    from pebble import ProcessExpired

    in_flight: dict[Any, _Chunk] = {}
    try:
        while queue or in_flight:
            # One chunk more than is running for each worker, so that none ever waits for this process.
            while queue and len(in_flight) < 2 * workers:
                chunk = _Chunk(queue.take(), time.perf_counter())
                arguments = (labeller.level, engine, chunk.configurations, forces)
                try:
                    in_flight[pool.schedule(label_chunk, args=arguments, timeout=time_limit)] = chunk
                except RuntimeError as error:  # what pebble raises once its pool is broken
                    queue.give_back(chunk.configurations)
                    raise BrokenProcessPool(str(error)) from error
            done, _ = wait(in_flight, timeout=HEARTBEAT, return_when=FIRST_COMPLETED)
            finished: list[Attempt] = []
            interruption: Exception | None = None
            for future in done:
                try:
                    attempts = future.result()
                except (ProcessExpired, TimeoutError) as error:
                    if getattr(error, "exitcode", None) in TOLD_TO_END:
                        interruption = AsteroidError("the labelling workers were told to end; run again to go on")
                        continue
                    chunk = in_flight.pop(future)
                    if len(chunk.configurations) > 1:
                        queue.give_back(chunk.configurations)
                    else:
                        finished.append(_post_mortem(labeller, chunk, error, time_limit))
                except BrokenProcessPool as error:
                    interruption = error
                except (ImportError, OSError) as error:
                    interruption = AsteroidError(f"{labeller.program} cannot be loaded on this machine: {error}")
                else:
                    in_flight.pop(future)
                    queue.learn(attempts, workers)
                    finished += attempts
            # What is finished is kept, whatever ended the others.
            yield finished
            if interruption is not None:
                raise interruption
    finally:
        queue.give_back(list(itertools.chain.from_iterable(chunk.configurations for chunk in in_flight.values())))


def _post_mortem(labeller: Labeller, chunk: _Chunk, error: Exception, time_limit: float | None) -> Attempt:
    """The failed attempt of the one frame whose worker died or was stopped."""
    if isinstance(error, TimeoutError) and time_limit is not None:
        reason, wall = f"not finished within the time limit of {time_limit:g} s", time_limit
    else:
        # Time in the queue is included: nobody is left to say when the work began.
        reason = f"the worker process {describe_exit(getattr(error, 'exitcode', None))}"
        wall = time.perf_counter() - chunk.submitted
    return failed_attempt(labeller, chunk.configurations[0], reason, wall_seconds=wall)
