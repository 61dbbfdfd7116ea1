"""Parallel label workers: distribute rows, and handle workers that die or exceed the time limit.

:mod:`asteroid.labelling.queue` chooses the next rows, :mod:`asteroid.labelling.worker` is one worker process. Called by
:mod:`asteroid.labelling.campaign`.
"""

import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from asteroid.engines import Labeller
from asteroid.errors import AsteroidError
from asteroid.labelling.attempt import failed_attempt
from asteroid.labelling.queue import Queue
from asteroid.labelling.scratch import scratch_folder
from asteroid.labelling.wire import CONFIGURATION_SCHEMA
from asteroid.labelling.worker import Death, Job, Worker
from asteroid.processes import describe_exit, machine_memory, single_thread_environment
from asteroid.store.rows import LABEL_SCHEMA, attempts_to_table

# Why not pebble's pool: a call costs the parent 0.3 ms of CPU, a third of a cheap label, and the pool does not say at
# which frame of a chunk a worker died.
STOP_SIGNALS: Final = (-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)
"""Exit codes of a worker that was stopped from outside, not by its frame."""

HEARTBEAT: Final = 1.0
"""s between empty tables that return control to the caller, so that it can write its attempts."""

MAX_IDLE_DEATHS: Final = 20
"""Consecutive deaths of workers between two frames after which the campaign fails."""

MAX_KILLS: Final = 3
"""Kills (SIGKILL) of workers at the same frame after which the frame has failed."""


def label_frames(
    frames: pa.Table,
    make: Callable[[], Labeller],
    *,
    workers: int = 1,
    forces: bool = True,
    time_limit: float | None = None,
    memory_limit: float | None = None,
) -> Iterator[pa.Table]:
    """Label frames; yields tables of :data:`~asteroid.store.rows.LABEL_SCHEMA` as they finish, empty ones at a
    heartbeat.

    Args:
        frames: with the columns of :data:`~asteroid.labelling.wire.CONFIGURATION_SCHEMA`.
        make: makes the labeller, in each worker; it must be picklable.

    Raises:
        AsteroidError: when workers cannot be started or cannot go on on this machine.
    """
    if not frames.num_rows:
        return
    frames = frames.select(CONFIGURATION_SCHEMA.names).combine_chunks()
    workers = min(workers, frames.num_rows)
    single_thread_environment()
    with contextlib.ExitStack() as stack:
        try:
            scratch = stack.enter_context(scratch_folder())
        except OSError as error:
            raise AsteroidError(f"no folder for the temporary files of labelling: {error}") from error
        share = memory_limit or machine_memory() / workers
        crew = _Crew(frames, Job(make, forces, share, scratch), workers, time_limit)
        try:
            yield from crew.work()
        finally:
            crew.end()


class _Crew:
    """The workers of a campaign and the rows that are still to be labelled."""

    def __init__(self, frames: pa.Table, job: Job, size: int, time_limit: float | None) -> None:
        self._frames = frames
        self._job = job
        # Names the program in failed attempts; computes nothing in this process.
        self._labeller = job.make()
        self._time_limit = time_limit
        self._workers: list[Worker | None] = [None] * size
        self._queue = Queue(frames.num_rows, size)
        self._kills: Counter[int] = Counter()
        self._idle_deaths = 0

    def work(self) -> Iterator[pa.Table]:
        """Yield attempts as they finish; on an error, those that have finished are yielded before it is raised."""
        while busy := self._busy():
            finished = [LABEL_SCHEMA.empty_table()]
            interruption: AsteroidError | None = None
            ready = wait([worker.connection for _, worker in busy], timeout=self._timeout(busy))
            for slot, worker in busy:
                try:
                    if worker.connection in ready:
                        outcome = worker.receive()
                    elif self._time_limit is not None and worker.seconds > self._time_limit:
                        outcome = worker.kill()
                    else:
                        continue
                    if isinstance(outcome, Death):
                        self._workers[slot] = None
                        finished += self._handle_death(worker.rows, outcome)
                    else:
                        self._queue.learn(pc.mean(outcome["wall_seconds"]).as_py())
                        self._idle_deaths = 0
                        finished.append(outcome)
                except AsteroidError as error:
                    interruption = error
            yield pa.concat_tables(finished)
            if interruption is not None:
                raise interruption

    def end(self) -> None:
        """Kill all workers."""
        for worker in self._workers:
            if worker is not None:
                worker.kill()

    def _busy(self) -> list[tuple[int, Worker]]:
        """Give rows to idle workers and return all workers that have rows."""
        busy = []
        for slot, worker in enumerate(self._workers):
            if worker is None or not worker.rows:
                rows = self._queue.take()
                if not rows:
                    continue
                # Workers are started, and replaced, only when there are rows for them.
                worker = self._workers[slot] = worker or self._start()
                worker.send(rows, self._frames.slice(rows.start, len(rows)))
            busy.append((slot, worker))
        return busy

    def _start(self) -> Worker:
        try:
            return Worker(self._job)
        except OSError as error:
            # Out of memory or disk space, or too many open files.
            raise AsteroidError(f"labelling workers cannot be started: {error}") from error

    def _timeout(self, busy: Sequence[tuple[int, Worker]]) -> float:
        """s until the next heartbeat, or until a worker exceeds the time limit."""
        if self._time_limit is None:
            return HEARTBEAT
        left = min(self._time_limit - worker.seconds for _, worker in busy)
        return min(HEARTBEAT, max(left, 0.0))

    def _handle_death(self, rows: range, death: Death) -> list[pa.Table]:
        """Give back the rows of a dead worker, except the one it was computing, which becomes a failed attempt.

        Raises:
            AsteroidError: when the cause is not the frame.
        """
        overdue = self._time_limit is not None and death.seconds > self._time_limit
        if death.exit_code in STOP_SIGNALS:
            raise AsteroidError("the labelling workers were stopped; run again to continue")
        if death.row is None:
            self._queue.give_back(rows)
            self._idle_deaths += 1
            if self._idle_deaths >= MAX_IDLE_DEATHS:
                raise AsteroidError(
                    f"labelling workers keep dying between frames: the last {describe_exit(death.exit_code)}"
                )
            return []
        self._queue.give_back(rows[: death.row - rows.start])
        self._queue.give_back(rows[death.row - rows.start + 1 :])
        self._kills[death.row] += death.exit_code == -signal.SIGKILL
        if 0 < self._kills[death.row] < MAX_KILLS and not overdue:
            # The kernel kills a process that takes too much memory, but others can kill it too: so try once more.
            self._queue.give_back(range(death.row, death.row + 1))
            return []
        if overdue:
            reason = f"not finished within the time limit of {self._time_limit:g} s"
        else:
            reason = (
                f"the worker process {describe_exit(death.exit_code)} (memory limit {self._job.memory_limit:.0f} MiB)"
            )
        frame_id = self._frames["frame_id"][death.row].as_py()
        return [attempts_to_table([failed_attempt(self._labeller, frame_id, reason, wall_seconds=death.seconds)])]
