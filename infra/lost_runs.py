"""Automation that marks flow runs without heartbeats as Crashed, so that the parent submits them again.

``python -m infra.lost_runs`` with ``PREFECT_API_URL`` set. Flow runs must send heartbeats
(``PREFECT_FLOWS_HEARTBEAT_FREQUENCY``, 30 s at least).
"""

import asyncio
from datetime import timedelta

from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

NAME = "asteroid: lost runs become Crashed"
SILENCE = timedelta(seconds=100)
"""Three heartbeats and a margin; with fewer, runs on a busy machine would count as lost."""


async def ensure() -> None:
    """Create the automation unless it exists."""
    try:
        await Automation.aread(name=NAME)
        return
    except ValueError:
        pass
    trigger = EventTrigger(
        after={"prefect.flow-run.heartbeat"},
        expect={f"prefect.flow-run.{event}" for event in ("heartbeat", "Completed", "Failed", "Cancelled", "Crashed")},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=SILENCE,
    )
    action = ChangeFlowRunState(
        state=StateType.CRASHED, name="Crashed", message="No heartbeat: its machine or worker is gone."
    )
    await Automation(name=NAME, trigger=trigger, actions=[action]).acreate()


if __name__ == "__main__":
    asyncio.run(ensure())
