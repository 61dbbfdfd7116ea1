"""What the autoscaler submits and cancels, from Slurm's queue and Prefect's: pure decisions, without input or output.

:mod:`infra.slurm.autoscaler` reads the queues and carries the decisions out.
"""

import logging
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from infra.slurm.pools import PilotSettings

log = logging.getLogger("infra.slurm.autoscaler")

POLL_SECONDS = 10.0
SILENT_SECONDS = 150.0
"""Five heartbeats of a worker; a running job whose worker is silent for longer is on a lost node, or hangs."""
START_SECONDS = 600.0
"""Longest time from the start of a job to the first heartbeat of its worker, with modules and containers."""
LONGEST_PAUSE = 600.0
"""s between submissions to a pool whose pilots end early or are refused."""
USER = str(os.getuid())
WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "RESV_DEL_HOLD"})
ALIVE = WAITING | {"RUNNING", "SUSPENDED", "STOPPED"}
"""States of jobs that will take or are taking flow runs; COMPLETING ones do not."""


@dataclass(frozen=True)
class Job:
    """A pilot in Slurm's queue; ``seconds`` since its start, 0 while it waits."""

    id: str
    name: str
    state: str
    seconds: float


@dataclass(frozen=True)
class Queue:
    """A work pool, as Prefect's server knows it."""

    runs: int
    """Flow runs that are due or under way."""
    workers: Mapping[str, str] = field(default_factory=dict)
    """Name of the worker of each flow run that is under way, by the flow run's id."""
    silence: Mapping[str, float] = field(default_factory=dict)
    """Seconds since the last heartbeat of each worker."""


@dataclass(frozen=True)
class Decision:
    """Number of pilots to submit, ids of jobs to cancel, and ids of flow runs that are lost with their job."""

    submit: int = 0
    cancel: tuple[str, ...] = ()
    crash: tuple[str, ...] = ()


@dataclass
class Pool:
    """Decisions for one work pool, from what is seen of it at each turn."""

    name: str
    settings: PilotSettings
    wanted: float | None = None
    """Time of the first turn, or of the last one with flow runs."""
    failures: int = 0
    """Number of pauses since a pilot last ran for longer than ``idle``."""
    paused_until: float = -math.inf
    _ages: dict[str, float] = field(default_factory=dict)
    """Seconds since the start of each pilot, at the last turn."""

    def decide(self, queue: Queue, jobs: Sequence[Job], others: Collection[str], now: float, heard: float) -> Decision:
        """What to submit, to cancel and to mark as Crashed.

        Args:
            queue: read before the jobs, so that a flow run whose job is not among them is lost.
            jobs: pilots of this pool.
            others: ids of all other jobs of this user, which may be workers that were submitted by hand.
            now: of a clock that never goes back, s.
            heard: how long the server has answered without interruption, s. Workers that could not send heartbeats to
                it are not silent.
        """
        if queue.runs or self.wanted is None:
            self.wanted = now
        lost = [job.id for job in jobs if job.state == "RUNNING" and _is_lost(job, queue.silence, heard)]
        self._look_for_failures(jobs, now)
        alive = [job for job in jobs if job.state in ALIVE and job.id not in lost]
        unwanted: list[str] = []
        if now - self.wanted >= self.settings.idle:
            unwanted = [job.id for job in alive if job.state in WAITING]
        there = {*others, *(job.id for job in jobs if job.id not in lost)}
        crash = [run for run, worker in queue.workers.items() if (job := job_of(worker)) and job not in there]
        # The parent submits a crashed run again.
        missing = min(queue.runs, self.settings.max_jobs) - len(alive)
        submit = max(0, missing) if now >= self.paused_until else 0
        for job in (*lost, *unwanted):
            self._ages.pop(job, None)
        return Decision(submit, (*lost, *unwanted), tuple(crash))

    def pause(self, now: float, reason: str) -> None:
        """Submit nothing for a while, longer with each call in a row."""
        self.failures += 1
        seconds = min(POLL_SECONDS * 2**self.failures, LONGEST_PAUSE)
        self.paused_until = now + seconds
        log.warning("%s: %s; submitting again in %.0f s", self.name, reason, seconds)

    def _look_for_failures(self, jobs: Sequence[Job], now: float) -> None:
        """Pause when pilots end before they can have been idle: with a wrong prologue, all would do so."""
        there = {job.id: job.seconds for job in jobs if job.state in ALIVE}
        early = [job for job, age in self._ages.items() if job not in there and age + 20 < self.settings.idle]
        if early:
            self.pause(now, f"pilots ended early (see their logs): {', '.join(early)}")
        elif any(age >= self.settings.idle for age in there.values()):
            self.failures = 0
        self._ages = there


def _is_lost(job: Job, silence: Mapping[str, float], heard: float) -> bool:
    name = worker_name(job.id)
    limit = SILENT_SECONDS if name in silence else START_SECONDS
    return min(silence.get(name, math.inf), job.seconds, heard) >= limit


def worker_name(job: str) -> str:
    """Name of the worker in a job, as in ``worker.sbatch``, with the user, whose jobs alone are in the queue."""
    return f"slurm-{USER}-{job}"


def job_of(worker: str) -> str | None:
    """Id of a worker's job; None for a worker outside Slurm, or of another user."""
    prefix, _, job = worker.rpartition("-")
    return job if prefix == f"slurm-{USER}" else None


def job_name(pool: str, api: str) -> str:
    """Name of the pilots of a pool, which tells the servers of one user apart.

    >>> job_name("gpu", "http://head-node:4200/api")
    'asteroid:gpu@head-node:4200'
    """
    return f"asteroid:{pool}@{urlsplit(api).netloc}"


def parse_jobs(text: str) -> list[Job]:
    """Lines ``id|state|time used|name`` of ``squeue``.

    >>> parse_jobs("17|RUNNING|1-02:03:04|asteroid:gpu@head:4200")
    [Job(id='17', name='asteroid:gpu@head:4200', state='RUNNING', seconds=93784.0)]
    """
    jobs = []
    for line in text.splitlines():
        number, state, used, name = line.split("|", 3)
        jobs.append(Job(number, name, state, _seconds(used)))
    return jobs


def _seconds(used: str) -> float:
    """Of [D-][HH:]MM:SS; Slurm also writes INVALID."""
    days, _, clock = used.rpartition("-")
    try:
        parts = [int(part) for part in clock.split(":")]
        return float(int(days or 0) * 86400 + sum(part * 60**power for power, part in enumerate(reversed(parts))))
    except ValueError:
        return 0.0


def sbatch_options(settings: PilotSettings, name: str, logs: Path) -> list[str]:
    """Options of ``sbatch`` for a pilot."""
    options = {
        "job-name": name,
        "cpus-per-task": settings.cores,
        "time": settings.walltime,
        "signal": f"B:TERM@{settings.notice}",
        "output": logs / "%j.log",
        "mem": settings.memory,
        "partition": settings.partition,
        "account": settings.account,
        "gres": f"gpu:{settings.gpus}" if settings.gpus else None,
    }
    return [*(f"--{key}={value}" for key, value in options.items() if value is not None), *settings.options]
