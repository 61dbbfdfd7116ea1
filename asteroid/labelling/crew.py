"""Workers that compute labels side by side, and what is done about those that die or hang.

:mod:`asteroid.labelling.queue` says which rows go to a worker next, :mod:`asteroid.labelling.worker` is one worker
process. Called by :mod:`asteroid.labelling.campaign`.
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

# Why not pebble's pool: a call costs its parent 0.3 ms of CPU, a third of a cheap label, and a chunk hides its frame.
TOLD_TO_END: Final = (-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)
"""Exit codes of a worker that somebody stopped: no fault of the frame."""

HEARTBEAT: Final = 1.0
"""s, how often the caller gets control back to flush although nothing is finished."""

LARGEST_BREAKDOWN: Final = 20
"""Times in a row that workers may die between two frames before the machine is held responsible."""

CHANCES: Final = 3
"""Times that a worker may be killed at the same frame before that is the frame's fault."""


def label_frames(
    frames: pa.Table,
    make: Callable[[], Labeller],
    *,
    workers: int = 1,
    forces: bool = True,
    time_limit: float | None = None,
    memory_limit: float | None = None,
) -> Iterator[pa.Table]:
    """Attempts of these frames, as they finish: rows of :data:`~asteroid.store.rows.LABEL_SCHEMA`, none at a heartbeat.

    Args:
        frames: with the columns of :data:`~asteroid.labelling.wire.CONFIGURATION_SCHEMA`.
        make: gives the labeller, in each worker anew; it must be picklable. A program of your own comes in here.

    Raises:
        AsteroidError: when workers cannot be started, or have no room for temporary files.
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
            raise AsteroidError(f"there is no place for the temporary files of labelling: {error}") from error
        share = memory_limit or machine_memory() / workers
        crew = _Crew(frames, Job(make, forces, share, scratch), workers, time_limit)
        try:
            yield from crew.work()
        finally:
            crew.end()


class _Crew:
    """Workers, the rows still to be labelled, and what is done about workers that die or hang."""

    def __init__(self, frames: pa.Table, job: Job, size: int, time_limit: float | None) -> None:
        self._frames = frames
        self._job = job
        # Of the caller's process: it says who failed, and computes nothing.
        self._labeller = job.make()
        self._time_limit = time_limit
        self._workers: list[Worker | None] = [None] * size
        self._queue = Queue(frames.num_rows, size)
        self._kills: Counter[int] = Counter()
        self._breakdowns = 0

    def work(self) -> Iterator[pa.Table]:
        """Attempts as they finish. What is finished is given out, whatever ended the others."""
        while busy := self._busy():
            finished = [LABEL_SCHEMA.empty_table()]
            interruption: AsteroidError | None = None
            ready = wait([worker.connection for _, worker in busy], timeout=self._patience(busy))
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
                        finished += self._bury(worker.rows, outcome)
                    else:
                        self._queue.learn(pc.mean(outcome["wall_seconds"]).as_py())
                        self._breakdowns = 0
                        finished.append(outcome)
                except AsteroidError as error:
                    interruption = error
            yield pa.concat_tables(finished)
            if interruption is not None:
                raise interruption

    def end(self) -> None:
        for worker in self._workers:
            if worker is not None:
                worker.kill()

    def _busy(self) -> list[tuple[int, Worker]]:
        """All workers that have something to do, after they were given it."""
        busy = []
        for slot, worker in enumerate(self._workers):
            if worker is None or not worker.rows:
                rows = self._queue.take()
                if not rows:
                    continue
                # Workers are started, and replaced, when there is work for them.
                worker = self._workers[slot] = worker or self._start()
                worker.send(rows, self._frames.slice(rows.start, len(rows)))
            busy.append((slot, worker))
        return busy

    def _start(self) -> Worker:
        try:
            return Worker(self._job)
        except OSError as error:
            # No memory, no room for a file, or too many files are open.
            raise AsteroidError(f"labelling workers cannot be started: {error}") from error

    def _patience(self, busy: Sequence[tuple[int, Worker]]) -> float:
        """s to wait for an answer: until the next heartbeat, or until a worker is overdue."""
        if self._time_limit is None:
            return HEARTBEAT
        left = min(self._time_limit - worker.seconds for _, worker in busy)
        return min(HEARTBEAT, max(left, 0.0))

    def _bury(self, rows: range, death: Death) -> list[pa.Table]:
        """Give back the rows of a dead worker, but for the one that it died of; that is a failed attempt.

        Raises:
            AsteroidError: when the death says something about the machine.
        """
        overdue = self._time_limit is not None and death.seconds > self._time_limit
        if death.exit_code in TOLD_TO_END:
            raise AsteroidError("the labelling workers were told to end; run again to go on")
        if death.row is None:
            self._queue.give_back(rows)
            self._breakdowns += 1
            if self._breakdowns >= LARGEST_BREAKDOWN:
                raise AsteroidError(
                    f"labelling workers cannot be kept alive: the last {describe_exit(death.exit_code)}"
                )
            return []
        self._queue.give_back(rows[: death.row - rows.start])
        self._queue.give_back(rows[death.row - rows.start + 1 :])
        self._kills[death.row] += death.exit_code == -signal.SIGKILL
        if 0 < self._kills[death.row] < CHANCES and not overdue:
            # The kernel kills what takes too much memory, but anybody can kill: once more, alone.
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
