"""Order of the steps for every model of a manifest.

The store shows what is missing and a :class:`Runner` runs the steps, so a run on the same store continues where the
last one ended. Models run in parallel, and one that fails does not stop the others. Nothing is computed in this module.
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
"""Number of times that frames with failed accurate labels are replaced, since replacements may fail, too."""


class Runner(ABC):
    """Runs steps, and shows results to users if it has a page for them.

    :class:`asteroid.pipeline.local.LocalRunner` runs them on this machine, :class:`flows.pools.PoolRunner` on work
    pools.
    """

    @abstractmethod
    async def run(
        self, name: str, store: Store, molecule: MoleculeSettings, *, occasion: str = "", **parameters: Any
    ) -> None:
        """Run a step of :data:`asteroid.pipeline.steps.STEPS`, unless the store has its result.

        Args:
            occasion: distinguishes repeated runs of the same step in the pipeline.
            parameters: of the step's function, as JSON values.

        Raises:
            AsteroidError: when it failed.
        """

    async def show_rounds(  # noqa: B027 (does nothing without a page)
        self, molecule: MoleculeSettings, rounds: Sequence[RoundRecord], stop: str | None = None
    ) -> None:
        """Show the rounds of a molecule so far, and the reason for the end."""

    async def show_outcome(  # noqa: B027
        self, store: Store, molecule: MoleculeSettings, outcome: dict[str, Any]
    ) -> None:
        """Show the certificate of a molecule's model, and the path of its report."""


async def run_molecules(store: Store, molecules: Sequence[MoleculeSettings], runner: Runner) -> list[dict[str, Any]]:
    """All steps of these molecules and their models, then the index of reports.

    Returns:
        One outcome per molecule and model: that of :func:`asteroid.stages.outcome`, or, for a model that failed,
        ``molecule``, ``passed`` (False) and ``failure``, the reason in one line.
    """
    log.info("%s, store %s", plural(len(molecules), "molecule"), store.location(""))
    models: dict[str, list[MoleculeSettings]] = {}
    for molecule in molecules:
        models.setdefault(molecule.model_name, []).append(molecule)
    ended = await asyncio.gather(
        *(run_model(store, members, runner) for members in models.values()), return_exceptions=True
    )
    outcomes = [
        _failure(molecule.name, outcome) if isinstance(outcome, BaseException) else outcome
        for members, result in zip(models.values(), ended, strict=True)
        # An error of the model counts for each of its molecules.
        for molecule, outcome in zip(
            members, result if isinstance(result, list) else [result] * len(members), strict=True
        )
    ]
    if not all("failure" in outcome for outcome in outcomes):
        await _write_index(store)
    return outcomes


async def run_model(
    store: Store, molecules: Sequence[MoleculeSettings], runner: Runner
) -> list[dict[str, Any] | BaseException]:
    """All steps of one model, unless the store has their results.

    Sampling, labels and certificates are steps of each molecule, training is a step of the model.

    Args:
        molecules: all that train or validate the model.

    Returns:
        For each molecule its outcome, or the error that prevented it.
    """
    await _run_all(runner.run("sample", store, molecule) for molecule in molecules)
    await _run_all(run_pilot(store, molecule, runner) for molecule in molecules)
    molecules = [await to_thread(stages.with_chain, store, molecule) for molecule in molecules]
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


async def run_pilot(store: Store, molecule: MoleculeSettings, runner: Runner) -> None:
    """Label the pilot's frames and choose the chain of levels, where the manifest leaves the choice."""
    if not await to_thread(stages.lacks_chain, store, molecule):
        return
    while (level := await to_thread(stages.propose_pilot, store, molecule)) is not None:
        await label_missing(store, molecule, runner, level, occasion=f"pilot-{level}")
    await runner.run("choose-chain", store, molecule)


async def certify(store: Store, molecule: MoleculeSettings, runner: Runner, models: stages.Models) -> dict[str, Any]:
    """Validate a trained model on one molecule."""
    await gather_evidence(store, molecule, runner, models)
    await runner.run("certify", store, molecule)
    return await to_thread(stages.outcome, store, molecule, models)


async def _run_all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run in parallel, each to its end; then raise the first error."""
    for ended in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


async def label_chosen(store: Store, molecule: MoleculeSettings, runner: Runner, *, occasion: str = "") -> None:
    """Compute every label of the budget, including those of replacement frames.

    Args:
        occasion: prefix of the occasions of the labelling steps, if they are repeated in one run.
    """
    await to_thread(stages.select, store, molecule)
    await label_missing(store, molecule, runner, molecule.cheap, occasion=f"{occasion}cheap")
    await label_missing(store, molecule, runner, molecule.accurate, occasion=f"{occasion}accurate")
    for attempt in range(REPLACEMENTS):
        # Replaces frames with failed or rejected labels.
        await to_thread(stages.select, store, molecule)
        again = f"{occasion}accurate-again-{attempt}"
        if not await label_missing(store, molecule, runner, molecule.accurate, occasion=again):
            break
    for level in molecule.ladder:
        await label_missing(store, molecule, runner, level, occasion=f"{occasion}ladder-{level}")


async def label_missing(
    store: Store, molecule: MoleculeSettings, runner: Runner, level: LevelOfTheory, *, occasion: str
) -> bool:
    """Compute the selected labels of a level that have not been tried; returns whether there were any.

    The step also computes the free atoms of the level, even if all labels were imported.
    """
    forces = molecule.label_settings(level).forces
    missing = len(await to_thread(store.pending, molecule.name, level, forces=forces))
    if missing:
        log.info("%s: %d labels to compute at %s", molecule.name, missing, level)
    await runner.run("label", store, molecule, level=str(level), occasion=occasion)
    await to_thread(stages.review_labels, store, molecule, level)
    return missing > 0


async def gather_evidence(store: Store, molecule: MoleculeSettings, runner: Runner, models: stages.Models) -> None:
    """Compute the accurate labels for a certificate: MD with the model, torsions, minimum and vibrations."""
    level, final = molecule.accurate, models.final
    # During active learning, each certified model has its own evidence.
    await runner.run("propose", store, molecule, occasion=final)
    if await to_thread(stages.propose_minimum, store, molecule, final):
        # This step also labels the frames from MD with the model.
        await runner.run("label", store, molecule, level=str(level), occasion=f"minimum-{final}")
        await runner.run("minimum", store, molecule, model_id=final)
    await to_thread(stages.propose_hessian, store, molecule, final)
    await runner.run("label", store, molecule, level=str(level), occasion=f"evidence-{final}")
    await runner.run("hessian", store, molecule)


async def run_rounds(store: Store, molecules: Sequence[MoleculeSettings], runner: Runner) -> Sequence[MoleculeSettings]:
    """Active learning: label, train, record, explore, pick, and so on, until the target, a limit or too small a gain.

    The next step follows from the store (:mod:`asteroid.stages.rounds`), so a run continues after a kill, or with a
    larger budget.

    Args:
        molecules: all of one model; those that only validate it take no part in the rounds.

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
    """Pick the labels of the next round by exploration with the last model."""
    first, settings = trainers[0], stages.trainers(state.settings)
    if state.number == 0:
        if stages.acquisition(first).core_hours is not None:
            # A few labels measure the cost of a label, and thus how many the budget allows.
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
    """Cheap labels of the explored frames, before these are scored: they give the bias, and they train."""
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
    """Whether a failed certificate has requested a further round of labels."""
    request = await to_thread(stages.request_round, store, molecule)
    log.info("%s: %s", molecule.model_name, request.reason)
    return request.further


def _failure(name: str, error: BaseException) -> dict[str, Any]:
    reason = " ".join(str(error).split())
    if not isinstance(error, AsteroidError):
        log.error("%s: a bug in asteroid", name, exc_info=error)
        reason = f"{type(error).__name__}: {reason}"
    return {"molecule": name, "passed": False, "failure": reason.removeprefix(f"{name}: ")}


async def _write_index(store: Store) -> None:
    """Update the page that lists all molecules; a failure does not change the outcomes."""
    from asteroid.report.index import write_index

    try:
        await to_thread(write_index, store)
    except StoreError as error:
        log.warning("the index of reports was not updated: %s", error)
