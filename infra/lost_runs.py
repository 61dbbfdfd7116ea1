"""Automations that mark lost flow runs as Crashed, so that the parent submits them again.

``python -m infra.lost_runs [process|slurm|kubernetes]`` with ``PREFECT_API_URL`` set. Flow runs must send heartbeats
(``PREFECT_FLOWS_HEARTBEAT_FREQUENCY``, 30 s at least). The first one comes when a flow run starts, so a second
automation marks those whose worker was lost before that.
"""

import asyncio
import sys
from datetime import timedelta

from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

NAME = "asteroid: lost runs become Crashed"
SILENCE = timedelta(seconds=100)
"""Three heartbeats and a margin; with fewer, runs on a busy machine would count as lost."""
NAME_OF_PENDING = "asteroid: runs that never start become Crashed"
START = {"process": timedelta(seconds=240), "slurm": timedelta(seconds=240), "kubernetes": timedelta(minutes=30)}
"""Longest time from Pending, when a worker takes a run, to its first heartbeat: of a process, and of a pod that waits
for a node and pulls its image."""


async def ensure(kind: str = "process") -> None:
    """Create the automations unless they exist.

    Args:
        kind: of the work pools, a key of START.
    """
    ended = {f"prefect.flow-run.{event}" for event in ("Completed", "Failed", "Cancelled", "Crashed")}
    heartbeat = "prefect.flow-run.heartbeat"
    again = {f"prefect.flow-run.{event}" for event in ("Running", "Scheduled", "AwaitingConcurrencySlot")}
    message = "No heartbeat: its machine or worker is gone."
    await _ensure(NAME, {heartbeat}, {heartbeat, *ended}, SILENCE, message)
    pending = "prefect.flow-run.Pending"
    message = "It did not start: its machine or worker is gone."
    await _ensure(NAME_OF_PENDING, {pending}, {heartbeat, *again, *ended}, START[kind], message)


async def _ensure(name: str, after: set[str], expect: set[str], within: timedelta, message: str) -> None:
    """Create one automation: crash flow runs for which no expected event follows."""
    try:
        await Automation.aread(name=name)
        return
    except ValueError:
        pass
    trigger = EventTrigger(
        after=after,
        expect=expect,
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )
    action = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)
    await Automation(name=name, trigger=trigger, actions=[action]).acreate()


if __name__ == "__main__":
    asyncio.run(ensure(*sys.argv[1:2]))
