"""The flow that workers run: steps of the table, by name, one after another. Their results go through the store.

Deployed once per resource class, to its work pool (``prefect.yaml``). The parent names each run by molecule and step
(:mod:`flows.batches`).
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect import State, flow
from prefect.states import Completed, Failed

from asteroid.errors import AsteroidError, InputError, plural, suggest
from asteroid.manifest import MoleculeSettings
from asteroid.pipeline.progress import show_nothing
from asteroid.pipeline.steps import STEPS, Step, run_step
from asteroid.store import Store
from flows.artifacts import ProgressArtifact

# Prefect loads this file under another name.
log = logging.getLogger("flows.step")

LONGEST_SECONDS = 600.0
"""s after which a run starts no further step. Twice the planned time of a run: the prices of steps are estimates."""

NOT_STARTED = "not started"
"""Reason of the steps that a run leaves to another one."""


@dataclass(frozen=True)
class StepCall:
    """One step of one molecule.

    Args:
        name: of the step, in :data:`asteroid.pipeline.steps.STEPS`.
        parameters: of the step's function.
    """

    molecule: MoleculeSettings
    name: str
    parameters: dict[str, Any]

    @property
    def step(self) -> Step:
        """The entry of the table. Raises InputError when there is none."""
        if self.name not in STEPS:
            raise InputError(f"unknown step '{self.name}' of {self.molecule.name}; {suggest(self.name, STEPS)}")
        return STEPS[self.name]

    @property
    def title(self) -> str:
        return self.step.title(self.molecule, **self.parameters)


@flow
async def step(store: str, steps: list[StepCall]) -> State[None] | None:
    """Run steps in their order; one that fails does not stop the others.

    Args:
        store: folder or URL.

    Returns:
        A state whose message has one line per step that failed or was not started: its title and the reason.
    """
    try:
        where, titles = Store(store), [call.title for call in steps]
    except AsteroidError as error:
        # An expected error becomes a state with a message, without a traceback in Prefect's log.
        return Failed(message=str(error))
    begun, artifact, failures = time.monotonic(), ProgressArtifact(), list[str]()
    for done, (call, title) in enumerate(zip(steps, titles, strict=True)):
        if done and time.monotonic() - begun > LONGEST_SECONDS:
            left = [f"{title}: {NOT_STARTED}" for title in titles[done:]]
            return (Failed if failures else Completed)(message="\n".join([*failures, *left]))
        if len(steps) > 1:
            log.info("step %d of %d: %s", done + 1, len(steps), title)
            await artifact(run_name(steps), "steps", done, len(steps))
        try:
            show = artifact if len(steps) == 1 else show_nothing
            await run_step(call.step, where, call.molecule, call.parameters, show=show)
        except AsteroidError as error:
            failures.append(f"{title}: {' '.join(str(error).split())}")
            log.error("%s", failures[-1])
        except Exception as error:
            failures.append(f"{title}: {type(error).__name__}: {' '.join(str(error).split())}")
            log.exception("%s: a bug in asteroid", title)
    return Failed(message="\n".join(failures)) if failures else None


def run_name(calls: Sequence[StepCall]) -> str:
    """Name of a run in Prefect's UI: the title of its step, or the kinds of its steps and their number.

    >>> water, methane = (MoleculeSettings(name=name, smiles=smiles) for name, smiles in (("water", "O"), ("me", "C")))
    >>> run_name([StepCall(water, "train", {})])
    'water: training'
    >>> run_name([StepCall(water, "train", {}), StepCall(methane, "train", {}), StepCall(methane, "certify", {})])
    'training, validation: 3 steps of 2 molecules, water …'
    """
    if len(calls) == 1:
        return calls[0].title
    kinds = dict.fromkeys(call.step.words.format(**call.parameters) for call in calls)
    molecules = plural(len({call.molecule.name for call in calls}), "molecule")
    steps = "" if len(kinds) == 1 else f"{plural(len(calls), 'step')} of "
    return f"{', '.join(kinds)}: {steps}{molecules}, {calls[0].molecule.name} …"
