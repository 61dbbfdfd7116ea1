"""The flow that workers run: one step of the table, by name. Its results go through the store.

Deployed once per resource class, to its work pool (``prefect.yaml``). The parent names each run by molecule and step
(:mod:`flows.pools`).
"""

from typing import Any

from prefect import State, flow
from prefect.states import Failed

from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.pipeline.steps import STEPS, run_step
from asteroid.store import Store
from flows.artifacts import ProgressArtifact


@flow
async def step(store: str, molecule: MoleculeSettings, name: str, parameters: dict[str, Any]) -> State[None] | None:
    """Run one step of one molecule.

    Args:
        store: folder or URL.
        name: of the step, in :data:`asteroid.pipeline.steps.STEPS`.
        parameters: of the step's function.
    """
    try:
        await run_step(STEPS[name], Store(store), molecule, parameters, show=ProgressArtifact())
    except AsteroidError as error:
        # An expected error becomes a state with a message, without a traceback in Prefect's log.
        return Failed(message=str(error))
    return None
