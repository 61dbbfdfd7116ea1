"""Slurm jobs for Prefect's work pools: submits as many pilots as there are flow runs, up to ``max_jobs`` of each pool.

``python -m infra.slurm.autoscaler``, where ``sbatch`` works and ``PREFECT_API_URL`` can be reached. A pilot is
``worker.sbatch``: a worker that takes one flow run after another, and ends by itself when idle. A flow run whose job is
gone becomes Crashed, so that the parent submits it again. Prefect's server and Slurm have all the state, so the
autoscaler may be stopped and started at any time; pilots go on without it.
"""

import argparse
import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectException
from prefect.states import Crashed

from asteroid.errors import AsteroidError
from infra.deploy import pilot_pools
from infra.running import HOME, STATE
from infra.slurm.decisions import POLL_SECONDS, START_SECONDS, Pool, Queue, job_name, parse_jobs, sbatch_options
from infra.slurm.pools import FILE, read_pools

log = logging.getLogger("infra.slurm.autoscaler")

PAGE = 200
"""Largest number of flow runs or workers that the server lists at once."""
SCRIPT = Path(__file__).resolve().parent / "worker.sbatch"


class SlurmError(AsteroidError):
    """A command of Slurm failed."""


async def read_queue(client: PrefectClient, pool: str) -> Queue:
    """A work pool's flow runs and workers; a paused pool wants nothing new, and its own limit holds."""
    soon = datetime.now(UTC) + timedelta(seconds=POLL_SECONDS)
    due = filters.FlowRunFilter(
        state=filters.FlowRunFilterState(
            type=filters.FlowRunFilterStateType(any_=[StateType.SCHEDULED]),
            name=filters.FlowRunFilterStateName(not_any_=["AwaitingConcurrencySlot"]),
        ),
        next_scheduled_start_time=filters.FlowRunFilterNextScheduledStartTime(before_=soon),
    )
    here = filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=[pool]))
    found = await client.read_work_pool(pool)
    workers = await _workers(client, here)
    runs = len(workers)
    if not found.is_paused:
        runs += await client.count_flow_runs(flow_run_filter=due, work_pool_filter=here)
    if found.concurrency_limit is not None:
        runs = min(runs, found.concurrency_limit)
    return Queue(runs, workers, await _silence(client, pool))


async def _workers(client: PrefectClient, pool: filters.WorkPoolFilter) -> dict[str, str]:
    """Worker of each flow run under way, by the run's id."""
    under_way = filters.FlowRunFilter(
        state=filters.FlowRunFilterState(
            type=filters.FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])
        )
    )
    workers: dict[str, str] = {}
    while True:
        page = await client.read_flow_runs(
            flow_run_filter=under_way, work_pool_filter=pool, limit=PAGE, offset=len(workers)
        )
        workers |= {str(run.id): str(run.labels.get("prefect.worker.name", "")) for run in page}
        if len(page) < PAGE:
            return workers


async def _silence(client: PrefectClient, pool: str) -> dict[str, float]:
    """Seconds since the last heartbeat of each worker of the last half hour; workers that ended stay in the list."""
    now = datetime.now(UTC)
    recent = filters.WorkerFilterLastHeartbeatTime(after_=now - timedelta(seconds=3 * START_SECONDS))
    silence: dict[str, float] = {}
    while True:
        page = await client.read_workers_for_work_pool(
            pool, filters.WorkerFilter(last_heartbeat_time=recent), offset=len(silence), limit=PAGE
        )
        silence |= {w.name: (now - w.last_heartbeat_time).total_seconds() for w in page if w.last_heartbeat_time}
        if len(page) < PAGE:
            return silence


def slurm(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """Output of a command of Slurm.

    Raises:
        SlurmError: when it fails, takes over a minute, or is not there.
    """
    try:
        result = subprocess.run(
            command, cwd=HOME, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]}: {error}") from None
    if result.returncode:
        raise SlurmError(f"{command[0]}: {' '.join(result.stderr.split())}")
    return result.stdout


async def turn(pools: Sequence[Pool], client: PrefectClient, api: str, logs: Path, now: float, heard: float) -> None:
    """Look at the queues once, submit and cancel.

    Raises:
        SlurmError: when Slurm does not answer; the next turn tries again.
    """
    queues = [await read_queue(client, pool.name) for pool in pools]
    jobs = parse_jobs(await asyncio.to_thread(slurm, "squeue", "--me", "--noheader", "--format=%A|%T|%M|%j"))
    for pool, queue in zip(pools, queues, strict=True):
        name = pool.name
        own = [job for job in jobs if job.name == job_name(name, api)]
        others = [job.id for job in jobs if job.name != job_name(name, api)]
        decision = pool.decide(queue, own, others, now, heard)
        for run in decision.crash:
            log.info("%s: flow run %s is lost with its job", name, run)
            message = f"The Slurm job of its worker {queue.workers[run]} is gone."
            await client.set_flow_run_state(UUID(run), Crashed(message=message))
        if decision.cancel:
            log.info("%s: cancelling %s", name, ", ".join(decision.cancel))
            await asyncio.to_thread(slurm, "scancel", *decision.cancel)
        if decision.submit:
            log.info("%s: %d flow runs, %d pilots; submitting %d", name, queue.runs, len(own), decision.submit)
        environment = {
            "ASTEROID_HOME": os.environ.get("ASTEROID_HOME", str(HOME)),
            "ASTEROID_IDLE": str(pool.settings.idle),
            "ASTEROID_PROLOGUE": pool.settings.prologue or "",
        }
        options = sbatch_options(pool.settings, job_name(name, api), logs)
        try:
            for _ in range(decision.submit):
                await asyncio.to_thread(slurm, "sbatch", *options, str(SCRIPT), name, environment=environment)
        except SlurmError as error:
            pool.pause(now, str(error))


async def scale(pools: Sequence[Pool], logs: Path) -> None:
    """Look at the queues until stopped; what does not answer is asked again at the next turn."""
    since = time.monotonic()
    while True:
        now = time.monotonic()
        try:
            async with get_client() as client:
                await turn(pools, client, str(client.api_url), logs, now, now - since)
        except (httpx.HTTPError, PrefectException) as error:
            since = now
            log.warning("Prefect: %s", " ".join(str(error).split()) or type(error).__name__)
        except SlurmError as error:
            log.warning("%s", error)
        await asyncio.sleep(POLL_SECONDS)


def main() -> None:
    """Read the pools' file and run until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=Path, default=FILE, help=f"default: {FILE.relative_to(HOME)}")
    parser.add_argument("--logs", type=Path, default=STATE / "slurm", help="folder on a shared disk (.asteroid/slurm)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%F %T")
    log.setLevel(logging.INFO)
    if not os.environ.get("PREFECT_API_URL"):
        sys.exit("PREFECT_API_URL is not set; write the server's, e.g. http://head-node:4200/api")
    try:
        settings = read_pools(arguments.pools, pilot_pools())
    except AsteroidError as error:
        sys.exit(str(error))
    arguments.logs.mkdir(parents=True, exist_ok=True)
    asyncio.run(scale([Pool(name, each) for name, each in settings.items()], arguments.logs.resolve()))


if __name__ == "__main__":
    main()
