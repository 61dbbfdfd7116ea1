"""State of the active-learning loop, derived from records in the store: the next round, or the reason to stop.

In a round, the model of the previous round explores and picks a batch of frames, the batch is labelled, and a new model
is trained and recorded. :mod:`asteroid.stages.round_files` reads and writes the records, :mod:`asteroid.stages.acquire`
has the steps that need torch, and :mod:`asteroid.pipeline.order` calls the steps in order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from asteroid.acquisition.sharing import falling, share
from asteroid.acquisition.stopping import RoundSummary, decide
from asteroid.manifest import MoleculeSettings, SettledChain
from asteroid.stages.common import LEAST_LABELS
from asteroid.stages.labels import certificate_frames, expected_label_seconds
from asteroid.stages.level_shares import accurate_equivalents, equivalents_left, first_ladder, label_prices
from asteroid.stages.round_files import (
    TRAINING_SPLITS,
    Round,
    acquisition,
    adopt_rounds,
    at_round,
    loop_name,
    read_record,
    read_rounds,
    trainers,
    write_record,
)
from asteroid.store import ENERGIES_ALONE, Store
from asteroid.store.locks import lock
from asteroid.store.round_records import Decision, Further, Picked
from asteroid.store.rows import core_seconds


@dataclass(frozen=True)
class NextRound:
    """The next round of the loop.

    Args:
        number: counted from 0.
        settings: of the molecule and its model, with the label budgets of this round; with those of the previous round
            while the batch is not picked, or after the loop has ended. Before the first round, with the few labels that
            measure the cost of a label.
        picked: whether the batch is picked.
        stop: reason why the loop has ended; None if the round is to be run.
    """

    number: int
    settings: MoleculeSettings
    picked: bool = False
    stop: str | None = None


def next_round(store: Store, molecule: MoleculeSettings) -> NextRound:
    """The next round of a molecule's model, or the reason to stop."""
    adopt_rounds(store, molecule)
    rounds = read_rounds(store, molecule)
    number = len(rounds)
    picked = {member.name: read_record(store, member, Picked, number) for member in trainers(molecule)}
    batches = {name: batch for name, batch in picked.items() if batch}
    if len(batches) == len(picked):
        # Even with a smaller budget now: labels of the batch may have been paid for.
        return NextRound(number, at_round(molecule, batches), picked=True)
    if not rounds:
        return NextRound(0, molecule.with_change(_with_least_labels))
    decision = decide_next(store, molecule, rounds)
    before = at_round(molecule, rounds[-1])
    requested = read_record(store, molecule, Further, number) is not None
    return NextRound(number, before, stop=decision.reason if decision.stop and not requested else None)


def begin_rounds(store: Store, molecule: MoleculeSettings) -> None:
    """Record the label budget of the first round; its frames are selected by diversity."""
    with lock(store, f"acquiring {molecule.model_name}"):
        for member in trainers(molecule):
            if read_record(store, member, Picked, 0) is None:
                labels = _first_labels(store, member)
                ladder = first_ladder(member, labels)
                record = Picked(round=0, labels=labels, ladder=ladder, criterion="diverse", core_seconds=0.0)
                write_record(store, member, record)


def decide_next(store: Store, molecule: MoleculeSettings, rounds: Sequence[Round]) -> Decision:
    """Whether another round is worth its cost and within the budget.

    For a model of several molecules, the error is the mean over the molecules.
    """
    settings, last, members = acquisition(molecule), rounds[-1], trainers(molecule)
    summaries = _summaries(store, members, rounds)
    # Labels that failed without a replacement count as spent.
    spent = not any(_labels_left(store, member, last) for member in members)
    decision = decide(summaries, settings, spent_labels=_budget_in_words(members, summaries[-1]) if spent else "")
    if len(members) > 1:
        decision = replace(decision, reason=f"{decision.reason} (all molecules of the model together)")
    if decision.stop or settings.core_hours is None:
        return decision
    left = 3600 * settings.core_hours - sum(map(round_seconds, rounds))
    cheapest = min(expected_label_seconds(store, m, m.accurate) for m in members if _labels_left(store, m, last))
    training = _training(last)
    # Before the first exploration, its cost is taken to be that of the training.
    exploration = sum(record.core_seconds.exploration for record in last.values()) or training
    if (needed := training + exploration + cheapest) > left:
        reason = (
            f"another round takes at least {needed / 3600:.3g} core-hours, and {left / 3600:.3g} are left of the "
            f"{settings.core_hours:g}"
        )
        return Decision(True, reason, decision.expected_gain)
    return decision


def decide_further(store: Store, molecule: MoleculeSettings, rounds: Sequence[Round]) -> Decision:
    """Whether labels and core-hours are left for a round after a failed certificate; other limits do not count."""
    open_ended = {"target": None, "least_gain": 0.0, "rounds": len(rounds) + 1}
    settings = acquisition(molecule).model_copy(update=open_ended)
    return decide_next(store, molecule.with_change(lambda one: replace(one, acquisition=settings)), rounds)


def share_labels(store: Store, molecule: MoleculeSettings, rounds: Sequence[Round], spent: float) -> dict[str, int]:
    """Number of accurate labels of each molecule in the next round, within batch size and budget; at least one in all.
    Rounds that buy labels at several levels distribute their cost (:mod:`asteroid.stages.level_shares`).

    Each label goes to the molecule where it lowers the mean error most per core-second; all errors are taken to fall
    with the exponent of the mean error so far.

    Args:
        spent: core-seconds of the round so far.
    """
    settings, last, members = acquisition(molecule), rounds[-1], trainers(molecule)
    price = {member.name: expected_label_seconds(store, member, member.accurate) for member in members}
    money = math.inf
    if settings.core_hours is not None:
        money = 3600 * settings.core_hours - sum(map(round_seconds, rounds)) - spent - _training(last)
    return share(
        {name: (record.accurate_labels, record.held_out.force_mae) for name, record in last.items()},
        price=price,
        left={member.name: _labels_left(store, member, last) for member in members},
        wanted=settings.batch,
        money=money,
        exponent=falling([(summary.labels, summary.force_mae) for summary in _summaries(store, members, rounds)]),
    )


def extend_selection(store: Store, molecule: MoleculeSettings, number: int) -> None:
    """Select a molecule's batch of a round for the accurate level; a second call adds nothing."""
    from asteroid.sampling.choose import extend_accurate

    batch = read_record(store, molecule, Picked, number)
    if batch is None:
        return
    if batch.bought is not None and batch.bought.kind == "energies":
        # Before the main selection, so that these frames are never pending with forces.
        ids = [frame.frame_id for frame in batch.picked if frame.split == "train"]
        name = f"energies-{loop_name(molecule)}-{number:03d}"
        store.select(molecule.name, molecule.accurate, ids, name=name, criterion=ENERGIES_ALONE, round=number)
    for split in TRAINING_SPLITS:
        ids = [frame.frame_id for frame in batch.picked if frame.split == split]
        extend_accurate(store, molecule, split, ids, criterion=batch.criterion, round=number)


def label_seconds(store: Store, molecule: MoleculeSettings) -> float:
    """Core-seconds of all attempts at a molecule's labels so far, without those for a certificate."""
    levels = (molecule.cheap, *molecule.ladder, molecule.accurate)
    certificate = certificate_frames(store, molecule)
    tables = store.attempts_once(molecule.name, levels).values()
    return sum(float(core_seconds(t.filter(~pc.field("frame_id").isin(certificate))).sum()) for t in tables)


def round_seconds(found: Round) -> float:
    """Core-seconds of a recorded round: labels, training and exploration."""
    costs = [record.core_seconds for record in found.values()]
    return _training(found) + sum(cost.labels + cost.exploration for cost in costs)


def _training(found: Round) -> float:
    """Core-seconds of the training; each molecule's record has the whole cost of the model."""
    return next(iter(found.values())).core_seconds.training


def _summaries(store: Store, members: Sequence[MoleculeSettings], rounds: Sequence[Round]) -> list[RoundSummary]:
    """Error (mean over the molecules, with independent intervals) and cost of each round.

    All models are tested on the present held-out frames, which are more and harder than those of the first round.
    """
    summaries = []
    for number, found in enumerate(rounds):
        errors = [record.curve[number] for record in rounds[-1].values()]
        labels = [accurate_equivalents(store, m, found[m.name], found[m.name].accurate_labels) for m in members]
        mean = float(np.mean([error.force_mae for error in errors]))
        above = [math.inf if error.high is None else error.high - error.force_mae for error in errors]
        half = math.hypot(*above) / len(errors)
        summaries.append(
            RoundSummary(
                labels=sum(labels),
                force_mae=mean,
                low=max(0.0, mean - half),
                high=mean + half,
                core_seconds=round_seconds(found),
            )
        )
    return summaries


def _labels_left(store: Store, molecule: MoleculeSettings, found: Round) -> int:
    """Accurate labels, or others of the same cost, left in a molecule's budget after a round."""
    return equivalents_left(store, molecule, found[molecule.name])


def _budget_in_words(members: Sequence[MoleculeSettings], last: RoundSummary) -> str:
    chains = [member.chain for member in members if isinstance(member.chain, SettledChain)]
    if chains:
        return f"{sum(chain.core_seconds for chain in chains) / 3600:.3g} core-hours for labels"
    return f"{last.labels:g} accurate labels"


def _with_least_labels(molecule: MoleculeSettings) -> MoleculeSettings:
    """The smallest valid budget: its labels measure how many the first round can afford."""
    fewest: dict[str, Any] = {"accurate": LEAST_LABELS, "test": 1}
    if isinstance(molecule.chain, SettledChain):
        # The pilot has measured the other levels.
        fewest["ladder"] = tuple(0 for _ in molecule.ladder)
    return replace(molecule, budget=molecule.budget.model_copy(update=fewest))


def _first_labels(store: Store, molecule: MoleculeSettings) -> int:
    """Accurate labels of the first round: the number in the settings, limited by the budget, or all those there are.

    The molecules of a model get equal parts of the core-hours.
    """
    from asteroid.sampling.choose import chosen_accurate

    settings, budget = acquisition(molecule), molecule.budget
    labels = store.labels(molecule.name, molecule.accurate)
    there = sum(i in labels for split in TRAINING_SPLITS for i in chosen_accurate(store, molecule, split))
    wanted = settings.initial
    if settings.core_hours is not None:
        left = 3600 * settings.core_hours / len(trainers(molecule)) - label_seconds(store, molecule)
        each = expected_label_seconds(store, molecule, molecule.accurate)
        if isinstance(molecule.chain, SettledChain):
            # As many labels at the levels in between as go with each accurate one.
            between = label_prices(store, molecule)[:-1]
            planned = zip(molecule.ladder_labels.values(), between, strict=True)
            each += sum(count * price for count, price in planned) / budget.accurate
        tested = sum(i in labels for i in chosen_accurate(store, molecule, "test"))
        affordable = there + int(left / each) - (budget.test - tested)
        wanted = min(wanted, max(LEAST_LABELS, affordable))
    return min(budget.accurate, max(wanted, there))
