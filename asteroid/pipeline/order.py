"""What follows what: the steps of every model of a manifest, in order.

Nothing is computed here. The store says what is missing and a :class:`Runner` has it done, so running it again on the
same store goes on where things stand. Models run side by side, and one that fails does not stop the others.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from asyncio import to_thread
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any

from asteroid import stages
from asteroid.errors import AsteroidError, StoreError, plural
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.store import Store
from asteroid.store.round_records import RoundRecord

log = logging.getLogger(__name__)

REPLACEMENTS = 3
"""Times that frames whose accurate label failed are replaced: replacements may fail in turn."""


class Runner(ABC):
    """Runs steps, and shows results to people where it has a page for them.

    :class:`asteroid.pipeline.local.LocalRunner` does it on this machine, :class:`flows.pools.PoolRunner` on work pools.
    """

    @abstractmethod
    async def run(
        self, name: str, store: Store, molecule: MoleculeSettings, *, occasion: str = "", **parameters: Any
    ) -> None:
        """Run a step of :data:`asteroid.pipeline.steps.STEPS`, unless the store has its result.

        Args:
            occasion: tells it from the same step at another time of the pipeline.
            parameters: of the step's function, as JSON values.

        Raises:
            AsteroidError: when it failed.
        """

    async def show_labels(  # noqa: B027 (nothing, where there is no page)
        self, store: Store, molecule: MoleculeSettings
    ) -> None:
        """Show how many labels a molecule has and what they cost."""

    async def show_rounds(  # noqa: B027
        self, molecule: MoleculeSettings, rounds: Sequence[RoundRecord], stop: str | None = None
    ) -> None:
        """Show the rounds of a molecule so far, and why they ended."""

    async def show_outcome(  # noqa: B027
        self, store: Store, molecule: MoleculeSettings, outcome: dict[str, Any]
    ) -> None:
        """Show the certificate of a molecule's model, and where its report is."""


async def run_molecules(store: Store, molecules: Sequence[MoleculeSettings], runner: Runner) -> list[dict[str, Any]]:
    """All steps of these molecules and their models, then the index of reports.

    Returns:
        One outcome for each molecule of each model: of :func:`asteroid.stages.outcome`, or, of one that could not be
        finished, ``molecule``, ``passed`` (False) and ``failure``, the reason in a line.
    """
    log.info("%s, store %s", plural(len(molecules), "molecule"), store.location(""))
    models: dict[str, list[MoleculeSettings]] = {}
    for molecule in molecules:
        models.setdefault(molecule.model_name, []).append(molecule)
    ended = await asyncio.gather(
        *(run_model(store, members, runner) for members in models.values()), return_exceptions=True
    )
    outcomes = [
        outcome
        for members, result in zip(models.values(), ended, strict=True)
        for outcome in _outcomes(members, [result] * len(members) if isinstance(result, BaseException) else result)
    ]
    if not all("failure" in outcome for outcome in outcomes):
        await _write_index(store)
    return outcomes


async def run_model(
    store: Store, molecules: Sequence[MoleculeSettings], runner: Runner
) -> list[dict[str, Any] | BaseException]:
    """All steps of one model, each only as far as the store lacks its result.

    Sampling, labels and certificates are steps of each molecule, training is one of the model.

    Args:
        molecules: all that train or judge the model.

    Returns:
        For each molecule its outcome, or why it could not be judged.
    """
    await _run_all(runner.run("sample", store, molecule) for molecule in molecules)
    molecules = [await settle_chain(store, molecule, runner) for molecule in molecules]
    rounds = molecules[0].acquisition is not None
    while True:
        current = await run_rounds(store, molecules, runner) if rounds else molecules
        await _run_all(label_chosen(store, molecule, runner) for molecule in current)
        await runner.run("train", store, current[0])
        models = await to_thread(stages.trained_models, store, current[0])
        if models is None:
            raise AsteroidError("the labels change faster than models train; run again to go on")
        outcomes: list[dict[str, Any] | BaseException] = await asyncio.gather(
            *(certify(store, molecule, runner, models) for molecule in current), return_exceptions=True
        )
        failed = any(isinstance(outcome, BaseException) for outcome in outcomes)
        if not rounds or failed or not await another_round(store, molecules[0]):
            for molecule, outcome in zip(current, outcomes, strict=True):
                if not isinstance(outcome, BaseException):
                    await runner.show_outcome(store, molecule, outcome)
            return outcomes


async def settle_chain(store: Store, molecule: MoleculeSettings, runner: Runner) -> MoleculeSettings:
    """The molecule with its chain of levels, which a pilot finds where the manifest leaves the choice."""
    if not await to_thread(stages.lacks_chain, store, molecule):
        return await to_thread(stages.with_chain, store, molecule)
    while (level := await to_thread(stages.propose_pilot, store, molecule)) is not None:
        await label_missing(store, molecule, runner, level, occasion=f"pilot-{level}")
    await runner.run("choose-chain", store, molecule)
    return await to_thread(stages.with_chain, store, molecule)


async def certify(store: Store, molecule: MoleculeSettings, runner: Runner, models: stages.Models) -> dict[str, Any]:
    """Judge a trained model on one molecule."""
    await gather_evidence(store, molecule, runner, models)
    await runner.run("certify", store, molecule)
    return await to_thread(stages.outcome, store, molecule, models)


async def _run_all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run side by side, each to its end; the first failure is raised then."""
    for ended in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


async def label_chosen(store: Store, molecule: MoleculeSettings, runner: Runner, *, occasion: str = "") -> None:
    """Every label that the budget asks for, those of frames included that replace others.

    Args:
        occasion: put before the occasions of the labelling steps, where they come up several times in one run.
    """
    await to_thread(stages.select, store, molecule)
    await label_missing(store, molecule, runner, molecule.cheap, occasion=f"{occasion}cheap")
    await label_missing(store, molecule, runner, molecule.accurate, occasion=f"{occasion}accurate")
    for attempt in range(REPLACEMENTS):
        # Frames whose label failed or was rejected are replaced by others.
        await to_thread(stages.select, store, molecule)
        again = f"{occasion}accurate-again-{attempt}"
        if not await label_missing(store, molecule, runner, molecule.accurate, occasion=again):
            break
    for level in molecule.ladder:
        await label_missing(store, molecule, runner, level, occasion=f"{occasion}ladder-{level}")


async def label_missing(
    store: Store, molecule: MoleculeSettings, runner: Runner, level: LevelOfTheory, *, occasion: str
) -> bool:
    """Have labelled what is selected at a level and has not been tried; whether that was anything.

    The step also computes the level's free atoms: it runs for these alone where all labels were imported.
    """
    forces = molecule.label_settings(level).forces
    missing = len(await to_thread(store.pending, molecule.name, level, forces=forces))
    log.info("%s: %d labels to compute at %s", molecule.name, missing, level)
    await runner.run("label", store, molecule, level=str(level), occasion=occasion)
    await to_thread(stages.review_labels, store, molecule, level)
    if missing:
        await runner.show_labels(store, molecule)
    return missing > 0


async def gather_evidence(store: Store, molecule: MoleculeSettings, runner: Runner, models: stages.Models) -> None:
    """Accurate labels that the certificate asks for: of the model's own MD, torsions, minimum and vibrations."""
    level, final = molecule.accurate, models.final
    # In a loop of rounds, each model that is judged has its own evidence.
    await runner.run("propose", store, molecule, occasion=final)
    for step in range(stages.MINIMUM_LABELS):
        # Asks for the next label on the way to the accurate minimum.
        if not await to_thread(stages.propose_minimum, store, molecule, final):
            break
        # What the model's own MD asked for is pending as well, and labelled with the first of these.
        await runner.run("label", store, molecule, level=str(level), occasion=f"minimum-{final}-{step}")
    await to_thread(stages.propose_hessian, store, molecule, final)
    await runner.run("label", store, molecule, level=str(level), occasion=f"evidence-{final}")
    await runner.run("hessian", store, molecule)


async def run_rounds(store: Store, molecules: Sequence[MoleculeSettings], runner: Runner) -> Sequence[MoleculeSettings]:
    """Label, train, record; explore, pick, and again; until the target, a budget or too small a gain ends it.

    Which step is next follows from the store (:mod:`asteroid.stages.rounds`), so a run that was killed anywhere goes on
    there, and one with a larger budget where the last one stopped.

    Args:
        molecules: all of one model; those that only judge it have no part in its rounds.

    Returns:
        The settings of the last round.
    """
    trainers = stages.trainers(molecules[0])
    while True:
        state = await to_thread(stages.next_round, store, trainers[0])
        if not state.picked and not state.stop:
            state = await _pick(store, trainers, runner, state)
        settings = stages.trainers(state.settings)
        if state.stop:
            log.info("%s: %d rounds; %s", molecules[0].model_name, state.number, state.stop)
            await _show_rounds(store, trainers, runner, state.stop)
            by_name = {molecule.name: molecule for molecule in settings}
            model = state.settings.model
            return [by_name.get(molecule.name, replace(molecule, model=model)) for molecule in molecules]
        for molecule in trainers:
            await to_thread(stages.extend_selection, store, molecule, state.number)
        occasion = f"round-{state.number}"
        await _run_all(label_chosen(store, molecule, runner, occasion=f"{occasion}-") for molecule in settings)
        await runner.run("train", store, settings[0], baseline=False)
        await runner.run("record", store, trainers[0], occasion=occasion)
        await _show_rounds(store, trainers, runner)


async def _pick(
    store: Store, trainers: Sequence[MoleculeSettings], runner: Runner, state: stages.NextRound
) -> stages.NextRound:
    """Find out which labels the next round buys: the last model explores and picks them."""
    first, settings = trainers[0], stages.trainers(state.settings)
    if state.number == 0:
        if stages.acquisition(first).core_hours is not None:
            # A few labels tell what one costs, and with it how many can be paid for.
            await _run_all(label_chosen(store, molecule, runner, occasion="first-") for molecule in settings)
        await to_thread(stages.begin_rounds, store, first)
        return await to_thread(stages.next_round, store, first)
    occasion = f"round-{state.number}"
    await _run_all(runner.run("explore", store, molecule, occasion=occasion) for molecule in trainers)
    await _run_all(_prepare_pick(store, molecule, runner, occasion) for molecule in settings)
    await runner.run("pick", store, first, occasion=occasion)
    picked = await to_thread(stages.next_round, store, first)
    if picked.picked:
        return picked
    return stages.NextRound(state.number, state.settings, stop="no frame is left that could be labelled")


async def _prepare_pick(store: Store, molecule: MoleculeSettings, runner: Runner, occasion: str) -> None:
    """What was found gets cheap labels before it is scored: they tell the bias, and they train."""
    await to_thread(stages.select, store, molecule)
    await label_missing(store, molecule, runner, molecule.cheap, occasion=f"{occasion}-explored")
    await to_thread(stages.review_explored, store, molecule)
    await runner.run("energy-cost", store, molecule)


async def _show_rounds(
    store: Store, molecules: Sequence[MoleculeSettings], runner: Runner, stop: str | None = None
) -> None:
    rounds = await to_thread(stages.read_rounds, store, molecules[0])
    for molecule in molecules:
        await runner.show_rounds(molecule, [found[molecule.name] for found in rounds], stop)


async def another_round(store: Store, molecule: MoleculeSettings) -> bool:
    """Whether a failed certificate has ordered a further round of labels."""
    verdict = await to_thread(stages.request_round, store, molecule)
    log.info("%s: %s", molecule.model_name, verdict.reason)
    return verdict.further


def _outcomes(
    molecules: Sequence[MoleculeSettings], ended: Sequence[dict[str, Any] | BaseException]
) -> list[dict[str, Any]]:
    return [
        _failure(molecule.name, outcome) if isinstance(outcome, BaseException) else outcome
        for molecule, outcome in zip(molecules, ended, strict=True)
    ]


def _failure(name: str, error: BaseException) -> dict[str, Any]:
    reason = " ".join(str(error).split())
    if not isinstance(error, AsteroidError):
        log.error("%s: a fault of asteroid", name, exc_info=error)
        reason = f"{type(error).__name__}: {reason}"
    return {"molecule": name, "passed": False, "failure": reason.removeprefix(f"{name}: ")}


async def _write_index(store: Store) -> None:
    """Renew the page that lists all molecules; outcomes do not depend on it."""
    from asteroid.report.index import write_index

    try:
        await to_thread(write_index, store)
    except StoreError as error:
        log.warning("the index of reports is not renewed: %s", error)
