"""Automations that mark lost flow runs as Crashed, so that the parent submits them again.

``python -m infra.lost_runs [process|slurm|kubernetes]`` with ``PREFECT_API_URL`` set. Flow runs of ``prefect.yaml``
send heartbeats, the first one when they start. They concern flow runs of asteroid's work pools alone: other flows on
the same server may have no heartbeats. A second call updates them.
"""

import asyncio
import sys
from datetime import timedelta

from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

from infra.deploy import pool_names

NAME = "asteroid: lost runs become Crashed"
SILENCE = timedelta(seconds=100)
"""Three heartbeats and a margin; with fewer, runs on a busy machine would count as lost."""
NAME_OF_PENDING = "asteroid: runs that never start become Crashed"
START = {"process": timedelta(seconds=240), "slurm": timedelta(seconds=240), "kubernetes": timedelta(minutes=30)}
"""Longest time from Pending, when a worker takes a run, to its start: of a process, and of a pod that waits for a node
and pulls its image."""


async def ensure(kind: str = "process") -> None:
    """Create or update the automations.

    Args:
        kind: of the work pools, a key of START.
    """
    running, heartbeat, pending = (f"prefect.flow-run.{event}" for event in ("Running", "heartbeat", "Pending"))
    ended = {f"prefect.flow-run.{event}" for event in ("Completed", "Failed", "Cancelled", "Crashed")}
    # A run may be lost between its start and its first heartbeat.
    message = "No heartbeat: its machine or worker is gone."
    await _ensure(NAME, {running, heartbeat}, {heartbeat, *ended}, SILENCE, message)
    waiting = {f"prefect.flow-run.{event}" for event in ("Scheduled", "AwaitingConcurrencySlot")}
    message = "It did not start: its machine or worker is gone."
    await _ensure(NAME_OF_PENDING, {pending}, {running, heartbeat, *waiting, *ended}, START[kind], message)


async def _ensure(name: str, after: set[str], expect: set[str], within: timedelta, message: str) -> None:
    """Create or update one automation: crash flow runs for which no expected event follows."""
    trigger = EventTrigger(
        after=after,
        expect=expect,
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.role": "work-pool", "prefect.resource.name": pool_names()},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )
    action = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)
    wanted = Automation(name=name, trigger=trigger, actions=[action])
    try:
        found = await Automation.aread(name=name)
    except ValueError:
        await wanted.acreate()
        return
    # An update forgets which runs are being waited for.
    if found.trigger != trigger:
        wanted.id = found.id
        await wanted.aupdate()


if __name__ == "__main__":
    asyncio.run(ensure(*sys.argv[1:2]))
