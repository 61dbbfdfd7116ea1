"""The loop of rounds as the store knows it: which round is next, with which settings, and what all of them cost.

A round picks a batch by the model of the round before, has it labelled, trains and is recorded. Everything here
follows from records that are written once (:mod:`asteroid.store.round_records`): ``explored-NNN.json`` (where the model
led itself), ``picked-NNN.json`` (the batch, and with it the settings of the round) and ``round-NNN.json`` (errors, cost
and decision), each for every molecule that trains the model; ``further-NNN.json`` is the order of a round by a failed
certificate (:mod:`asteroid.stages.feedback`). What makes these needs torch and is in :mod:`asteroid.stages.acquire`;
:mod:`asteroid.pipeline.order` orders the steps. Budgets are no part of the folder's name, so a larger one goes on with
the same rounds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow.compute as pc

from asteroid.acquisition.sharing import falling, share
from asteroid.acquisition.stopping import RoundSummary, decide
from asteroid.configuration import EXPLORED, Split
from asteroid.labelling.review import withdraw
from asteroid.manifest import AcquisitionSettings, MoleculeSettings, TrainingSettings
from asteroid.naming import content, digest, file_digest
from asteroid.stages.common import LEAST_LABELS
from asteroid.stages.labels import expected_label_seconds
from asteroid.store import ENERGIES_ALONE, Store, paths, records
from asteroid.store.locks import lock
from asteroid.store.models import has_model
from asteroid.store.round_records import Decision, Explored, Further, Picked, RoundRecord
from asteroid.store.rows import core_seconds
from asteroid.strategies import strategy_named

Step = TypeVar("Step", Explored, Picked, RoundRecord, Further)

_NAMES: Final = {Explored: "explored", Picked: "picked", RoundRecord: "round", Further: "further"}

Round = Mapping[str, RoundRecord]
"""A finished round: its record for each molecule that trains the model, by the molecule's name."""

TRAINING_SPLITS: Final[tuple[Split, ...]] = ("train", "valid")
"""What grows from round to round; test frames are chosen once."""

SAMPLED: Final = "sampled frames"
"""Where a picked frame comes from that no exploration has found."""

BUDGETS: Final = frozenset({"rounds", "core_hours", "target", "least_gain", "certify_rounds"})
"""Settings that say when to stop and not what a round does."""


@dataclass(frozen=True)
class NextRound:
    """What the loop does next.

    Args:
        number: of the round, counted from 0.
        settings: the molecule's and its model's, with the budgets of this round; of the one before as long as the batch
            has not been picked, or where the loop has ended. Before the first round, with a few labels that tell what
            one costs.
        picked: whether it is known what is to be labelled.
        stop: why there is no such round; None where it is to be run.
    """

    number: int
    settings: MoleculeSettings
    picked: bool = False
    stop: str | None = None


def next_round(store: Store, molecule: MoleculeSettings) -> NextRound:
    """Where the loop of a molecule's model stands."""
    adopt_rounds(store, molecule)
    rounds = read_rounds(store, molecule)
    number = len(rounds)
    picked = {member.name: read_step(store, member, Picked, number) for member in trainers(molecule)}
    labels = {name: batch.labels for name, batch in picked.items() if batch}
    if len(labels) == len(picked):
        # Labels of a batch may be there already, whatever the budget says now: they are paid for.
        return NextRound(number, with_labels(molecule, labels), picked=True)
    if not rounds:
        return NextRound(0, _probe(molecule))
    decision = decide_next(store, molecule, rounds)
    before = with_labels(molecule, labels_of(rounds[-1]))
    # A failed certificate has ordered this round: see asteroid.stages.feedback.
    ordered = read_step(store, molecule, Further, number) is not None
    return NextRound(number, before, stop=decision.reason if decision.stop and not ordered else None)


def begin_rounds(store: Store, molecule: MoleculeSettings) -> None:
    """Write down how many labels the first round buys; which ones, the selection by diversity decides."""
    with lock(store, f"acquiring {molecule.model_name}"):
        for member in trainers(molecule):
            if read_step(store, member, Picked, 0) is None:
                labels = _first_labels(store, member)
                write_step(store, member, Picked(round=0, labels=labels, criterion="diverse", core_seconds=0.0))


def trainers(molecule: MoleculeSettings) -> tuple[MoleculeSettings, ...]:
    """The molecules that train a molecule's model, each with that model."""
    if molecule.model is None:
        return (molecule,)
    return tuple(replace(member, model=molecule.model) for member in molecule.model.molecules)


def with_labels(molecule: MoleculeSettings, labels: Mapping[str, int]) -> MoleculeSettings:
    """A molecule's settings with so many accurate labels: all stages know a round as a budget.

    Args:
        labels: of each molecule that trains the model, by its name.
    """

    def limited(one: MoleculeSettings) -> MoleculeSettings:
        if one.name not in labels:
            return one  # It only judges.
        return replace(one, budget=one.budget.model_copy(update={"accurate": labels[one.name]}))

    return molecule.with_change(limited)


def labels_of(found: Round) -> dict[str, int]:
    """Accurate labels of each molecule that were to be bought up to a round."""
    return {name: record.labels for name, record in found.items()}


def last_model(store: Store, molecule: MoleculeSettings) -> str | None:
    """Id of the model that a training with these budgets goes on from: that of the last round with fewer labels.

    None for a first round, a molecule without rounds, or where each round trains anew.
    """
    if molecule.trained_on[0].acquisition is None or not trains_on(molecule):
        return None
    budget = sum(member.budget.accurate for member in molecule.trained_on)
    earlier = [found for found in read_rounds(store, molecule) if sum(labels_of(found).values()) < budget]
    return model_of(earlier[-1]) if earlier else None


def model_of(found: Round) -> str:
    """Id of the model that a round has trained."""
    return next(iter(found.values())).model_id


def trains_on(molecule: MoleculeSettings) -> bool:
    """Whether later rounds go on from the model of the round before."""
    return acquisition(molecule).train_on is not None and strategy_named(molecule.training.strategy).goes_on


def training_settings(molecule: MoleculeSettings, start: str | None) -> TrainingSettings:
    """Those of the manifest; fewer steps, at half the learning rate, for a model that goes on from another.

    From the full rate it unlearns some of what it knew: formaldehyde, GFN2 to CCSD(T), from 20 to 30 to 40 labels in
    0.4 of the steps, two seeds: 1.05 and 0.99 meV/Å at the full rate, 0.93 and 0.85 at half, 0.96 and 0.90 at a
    quarter, 1.42 and 1.13 anew.
    """
    if start is None:
        return molecule.training
    part, settings = acquisition(molecule).train_on or 1.0, molecule.training
    # Those of scratch are also the steps of the strategy foundation.
    names = ("pretrain_steps", "finetune_steps", "scratch_steps")
    steps = {name: max(1, round(part * count)) for name in names if (count := getattr(settings, name)) is not None}
    rates = {name: getattr(settings, name) / 2 for name in ("learning_rate", "finetune_learning_rate")}
    return settings.model_copy(update=steps | rates)


def decide_next(store: Store, molecule: MoleculeSettings, rounds: Sequence[Round]) -> Decision:
    """Whether another round pays and can be paid for.

    The error of a model of several molecules is the mean of its errors on each.
    """
    settings, last, members = acquisition(molecule), rounds[-1], trainers(molecule)
    summaries = _summaries(rounds)
    # Labels that failed and could not be replaced count as spent.
    spent = not any(_labels_left(member, last) for member in members)
    decision = decide(summaries, settings, most_labels=summaries[-1].labels if spent else None)
    if len(members) > 1:
        decision = replace(decision, reason=f"{decision.reason} (all molecules of the model together)")
    if decision.stop or settings.core_hours is None:
        return decision
    left = 3600 * settings.core_hours - sum(map(round_seconds, rounds))
    cheapest = min(expected_label_seconds(store, m, m.accurate) for m in members if _labels_left(m, last))
    if (needed := expected_round_seconds(rounds) + cheapest) > left:
        reason = (
            f"another round takes at least {needed / 3600:.3g} core-hours, and {left / 3600:.3g} are left of the "
            f"{settings.core_hours:g}"
        )
        return Decision(True, reason, decision.expected_gain)
    return decision


def decide_further(store: Store, molecule: MoleculeSettings, rounds: Sequence[Round]) -> Decision:
    """Whether a round that a failed certificate wants can be paid for: by labels and core-hours alone."""
    open_ended = {"target": None, "least_gain": 0.0, "rounds": len(rounds) + 1}
    settings = acquisition(molecule).model_copy(update=open_ended)
    return decide_next(store, molecule.with_change(lambda one: replace(one, acquisition=settings)), rounds)


def _summaries(rounds: Sequence[Round]) -> list[RoundSummary]:
    """Each round by the mean of its errors on the molecules, whose intervals are independent.

    All models on the held-out frames of now: they have become more since the first round, and harder.
    """
    summaries = []
    for number, found in enumerate(rounds):
        errors = [record.curve[number] for record in rounds[-1].values()]
        mean = float(np.mean([error.force_mae for error in errors]))
        above = [math.inf if error.high is None else error.high - error.force_mae for error in errors]
        half = math.hypot(*above) / len(errors)
        summaries.append(
            RoundSummary(
                labels=sum(record.accurate_labels for record in found.values()),
                force_mae=mean,
                low=max(0.0, mean - half),
                high=mean + half,
                core_seconds=round_seconds(found),
            )
        )
    return summaries


def _labels_left(molecule: MoleculeSettings, found: Round) -> int:
    """Accurate labels that the budget still allows a molecule after a round."""
    return max(0, molecule.budget.accurate - found[molecule.name].labels)


def share_labels(store: Store, molecule: MoleculeSettings, rounds: Sequence[Round], spent: float) -> dict[str, int]:
    """Accurate labels of each molecule that the next round buys: what is asked for and can be paid for; at least one.

    The error of a molecule is taken to fall with the number of its labels as that of all has fallen. Each next label
    goes to the molecule where it takes most off the mean error for what it costs.

    Args:
        spent: core-seconds that the round has cost already.
    """
    settings, last, members = acquisition(molecule), rounds[-1], trainers(molecule)
    price = {member.name: expected_label_seconds(store, member, member.accurate) for member in members}
    money = math.inf
    if settings.core_hours is not None:
        money = 3600 * settings.core_hours - sum(map(round_seconds, rounds)) - spent - _training(last)
    curve = [(summary.labels, summary.force_mae) for summary in _summaries(rounds)]
    left = {member.name: _labels_left(member, last) for member in members}
    return share(
        {name: (record.accurate_labels, record.held_out.force_mae) for name, record in last.items()},
        price=price,
        left=left,
        wanted=settings.batch,
        money=money,
        exponent=falling(curve),
    )


def expected_round_seconds(rounds: Sequence[Round]) -> float:
    """Core-seconds of exploration and training in the next round, by the last one.

    A first exploration is taken to cost what training did.
    """
    training = _training(rounds[-1])
    explored = sum(record.core_seconds.exploration for record in rounds[-1].values())
    return training + (explored or training)


def _training(found: Round) -> float:
    """Core-seconds; of the model, so that each molecule's record has all of them."""
    return next(iter(found.values())).core_seconds.training


def extend_selection(store: Store, molecule: MoleculeSettings, number: int) -> None:
    """Choose a molecule's batch of a round for the accurate level; done again, it adds nothing."""
    from asteroid.sampling.choose import extend_accurate

    batch = read_step(store, molecule, Picked, number)
    if batch is None:
        return
    if batch.bought is not None and batch.bought.kind == "energies":
        # First, so that these frames are never waiting for forces.
        ids = [frame.frame_id for frame in batch.picked if frame.split == "train"]
        name = f"energies-{loop_name(molecule)}-{number:03d}"
        store.select(molecule.name, molecule.accurate, ids, name=name, criterion=ENERGIES_ALONE, round=number)
    for split in TRAINING_SPLITS:
        ids = [frame.frame_id for frame in batch.picked if frame.split == split]
        extend_accurate(store, molecule, split, ids, criterion=batch.criterion, round=number)


def review_explored(store: Store, molecule: MoleculeSettings) -> int:
    """Withdraw the cheap labels of explored geometries that no trajectory would visit; how many those are.

    A model that is wrong finds them. They are neither candidates then, nor do they train.
    """
    from asteroid.sampling.screening import highest_energy

    explored = {f.frame_id: f for f in store.frames(molecule.name) if f.origin.method == EXPLORED}
    table = store.label_table(molecule.name, molecule.cheap)
    if not explored or not table.num_rows:
        return 0
    atoms = len(next(iter(explored.values())).configuration.numbers)
    energies = table["energy"].to_numpy()
    above = energies - energies.min()
    reasons = {
        row: f"explored geometry {above[row]:.2f} eV above the lowest"
        for row, frame_id in enumerate(table["frame_id"].to_pylist())
        if frame_id in explored and above[row] > highest_energy(atoms, max(acquisition(molecule).temperatures))
    }
    withdraw(store, molecule.name, molecule.cheap, table, reasons)
    return len(reasons)


def label_seconds(store: Store, molecule: MoleculeSettings) -> float:
    """Core-seconds of all attempts at a molecule's labels so far, those that judge a certificate left out."""
    judging = store.frame_table(molecule.name, split="certificate")["frame_id"].combine_chunks()
    seconds = 0.0
    levels = (molecule.cheap, *molecule.ladder, molecule.accurate)
    for table in store.attempts_once(molecule.name, levels).values():
        table = table.filter(pc.invert(pc.is_in(table["frame_id"], value_set=judging)))
        seconds += float(core_seconds(table).sum())
    return seconds


def round_seconds(found: Round) -> float:
    """Core-seconds of a recorded round: labels, training and exploration."""
    costs = [record.core_seconds for record in found.values()]
    return _training(found) + sum(cost.labels + cost.exploration for cost in costs)


def read_rounds(store: Store, molecule: MoleculeSettings) -> list[Round]:
    """All finished rounds, the first first; a round whose model was moved away is not finished."""
    members, found = trainers(molecule), list[Round]()
    while True:
        records = {member.name: read_step(store, member, RoundRecord, len(found)) for member in members}
        there = {name: record for name, record in records.items() if record is not None}
        if len(there) < len(members) or not has_model(store, molecule.model_name, model_of(there)):
            return found
        found.append(there)


def read_step(store: Store, molecule: MoleculeSettings, kind: type[Step], number: int) -> Step | None:
    """What a step of a round has left for a molecule; None before it is finished."""
    path = step_path(molecule, kind, number)
    return records.read(store, kind, path) if store.exists(path) else None


def write_step(store: Store, molecule: MoleculeSettings, step: Explored | Picked | RoundRecord | Further) -> None:
    records.write(store, step_path(molecule, type(step), step.round), step)


def step_path(molecule: MoleculeSettings, kind: type, number: int) -> str:
    # A certificate orders a round of all molecules.
    folder = paths.loop(molecule.model_name, loop_name(molecule)) if kind is Further else loop_folder(molecule)
    return f"{folder}/{_NAMES[kind]}-{number:03d}.json"


def loop_folder(molecule: MoleculeSettings) -> str:
    """Where the records of a molecule lie."""
    return paths.loop_molecule(molecule.model_name, loop_name(molecule), molecule.name)


def loop_name(molecule: MoleculeSettings) -> str:
    """Made of all that decides what a round does; budgets only decide whether there is another one."""
    foundation = molecule.training.foundation
    # By its content: the manifest may move.
    return _loop_name(molecule, foundation and file_digest(foundation))


def _loop_name(molecule: MoleculeSettings, foundation: str | None) -> str:
    training = content(molecule.training, exclude={"device", "foundation"})
    shaping: dict[str, Any] = {
        "levels": [str(molecule.cheap), str(molecule.accurate)],
        "training": {**training, "foundation": foundation},
        "acquisition": content(acquisition(molecule), exclude=BUDGETS),
    }
    if molecule.model is None:
        shaping["valid_fraction"] = molecule.budget.valid_fraction
    else:
        shaping["molecules"] = {member.name: member.budget.valid_fraction for member in molecule.trained_on}
    return digest(shaping)


def adopt_rounds(store: Store, molecule: MoleculeSettings) -> None:
    """Go on with rounds of version 0.1, whose folder was named by the path of the model to start from."""
    old, new = (
        paths.loop(molecule.model_name, name)
        for name in (_loop_name(molecule, molecule.training.foundation), loop_name(molecule))
    )
    if old != new and not store.names(new):
        # The first rounds last: a kill in between leaves nothing that reads as a loop.
        for name in reversed(store.names(old)):
            store.write(f"{new}/{name}", store.read(f"{old}/{name}"))


def acquisition(molecule: MoleculeSettings) -> AcquisitionSettings:
    """Those of the molecules that train the model; one that only judges it follows."""
    settings = molecule.trained_on[0].acquisition
    assert settings is not None, "only a molecule with these settings has rounds"
    return settings


def _probe(molecule: MoleculeSettings) -> MoleculeSettings:
    """The fewest labels that a budget may ask for: what they cost says how many the first round can pay for."""

    def least(one: MoleculeSettings) -> MoleculeSettings:
        return replace(one, budget=one.budget.model_copy(update={"accurate": LEAST_LABELS, "test": 1}))

    if molecule.model is None:
        return least(molecule)
    return replace(
        least(molecule), model=replace(molecule.model, molecules=tuple(map(least, molecule.model.molecules)))
    )


def _first_labels(store: Store, molecule: MoleculeSettings) -> int:
    """Accurate labels of the first round: as many as are asked for, or as have been chosen and paid for already.

    Core-hours are shared evenly among the molecules of a model.
    """
    from asteroid.sampling.choose import chosen_accurate

    settings, budget = acquisition(molecule), molecule.budget
    labels = store.labels(molecule.name, molecule.accurate)
    there = sum(i in labels for split in TRAINING_SPLITS for i in chosen_accurate(store, molecule, split))
    wanted = settings.initial
    if settings.core_hours is not None:
        left = 3600 * settings.core_hours / len(trainers(molecule)) - label_seconds(store, molecule)
        each = expected_label_seconds(store, molecule, molecule.accurate)
        tested = sum(i in labels for i in chosen_accurate(store, molecule, "test"))
        affordable = there + int(left / each) - (budget.test - tested)
        wanted = min(wanted, max(LEAST_LABELS, affordable))
    return min(budget.accurate, max(wanted, there))
