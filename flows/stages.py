"""The flows that workers run, one a stage: references in, everything else through the store.

Each is deployed to the work pool of its resource class (see ``prefect.yaml``) and does what :mod:`flows.steps` does.
The parent names each run by molecule and step (:mod:`flows.pools`).
"""

from collections.abc import Awaitable

from prefect import State, flow
from prefect.states import Failed

from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.stages import Calculation, Step
from asteroid.store import Store
from flows import steps
from flows.artifacts import ProgressArtifact


@flow
async def sample(store: str, molecule: MoleculeSettings) -> State[None] | None:
    """Sample a molecule's configurations at its cheap level."""
    return await _ended(steps.sample(Store(store), molecule, show=ProgressArtifact()))


@flow
async def label(
    store: str, molecule: MoleculeSettings, level: str, shard: int = 0, shards: int = 1
) -> State[None] | None:
    """Label one shard of a molecule's selected frames at one level."""
    parsed = LevelOfTheory.parse(level)
    return await _ended(steps.label(Store(store), molecule, parsed, shard, shards, show=ProgressArtifact()))


@flow
async def calculate(store: str, molecule: MoleculeSettings, which: Calculation) -> State[None] | None:
    """One calculation at a molecule's accurate level that is not the label of a frame."""
    return await _ended(steps.calculate(Store(store), molecule, which, show=ProgressArtifact()))


@flow
async def train(store: str, molecule: MoleculeSettings, baseline: bool = True) -> State[None] | None:
    """Train a molecule's models: scratch, the baseline, if it is wanted, then the strategy of the manifest."""
    return await _ended(steps.train(Store(store), molecule, baseline, show=ProgressArtifact()))


@flow
async def explore(store: str, molecule: MoleculeSettings, step: Step) -> State[None] | None:
    """Explore with a molecule's model of the last round, pick the next batch of labels, or record what it brought."""
    return await _ended(steps.explore(Store(store), molecule, step, show=ProgressArtifact()))


@flow
async def propose(store: str, molecule: MoleculeSettings) -> State[None] | None:
    """Let a molecule's finished model run by itself, and ask for accurate labels of where it went."""
    return await _ended(steps.propose(Store(store), molecule, show=ProgressArtifact()))


@flow
async def certify(store: str, molecule: MoleculeSettings) -> State[None] | None:
    """Judge a molecule's finished model and write its certificate and report."""
    return await _ended(steps.certify(Store(store), molecule, show=ProgressArtifact()))


async def _ended(step: Awaitable[None]) -> State[None] | None:
    """Await a step. An error that was raised on purpose is a state with a message: Prefect logs no traceback of it."""
    try:
        await step
    except AsteroidError as error:
        return Failed(message=str(error))
    return None
