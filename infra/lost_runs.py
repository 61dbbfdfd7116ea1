"""The automation that turns a flow run nobody hears of any more into Crashed, so that the parent submits it again.

Run against any server: ``python -m infra.lost_runs`` with ``PREFECT_API_URL`` set. Flow runs must send heartbeats
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
"""Three heartbeats and some: fewer, and a busy machine loses runs that are alive."""


async def ensure() -> None:
    """Create the automation unless it is there."""
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
