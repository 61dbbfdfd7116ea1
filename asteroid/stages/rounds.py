"""The loop of rounds as the store knows it: which round is next, with which settings, and what all of them cost.

A round picks a batch by the model of the round before, has it labelled, trains and is recorded. Everything here
follows from files that are written once: ``explored-NNN.json`` (where the model led itself), ``picked-NNN.json`` (the
batch, and with it the settings of the round) and ``round-NNN.json`` (what the round came to); ``further-NNN.json`` is
the order of a round by a failed certificate (:mod:`asteroid.stages.feedback`). What makes these needs
torch and is in :mod:`asteroid.stages.acquire`; :mod:`asteroid.pipeline.order` orders the steps. Budgets are no part of
the folder's name, so a larger one goes on with the same rounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pyarrow.compute as pc

from asteroid.acquisition.stopping import Decision, RoundSummary, decide
from asteroid.configuration import EXPLORED, Split
from asteroid.labelling.review import withdraw
from asteroid.manifest import AcquisitionSettings, MoleculeSettings, TrainingSettings
from asteroid.naming import content, digest, file_digest
from asteroid.stages.common import LEAST_LABELS
from asteroid.stages.labels import expected_label_seconds
from asteroid.store import ENERGIES_ALONE, Store, paths
from asteroid.store.locks import lock
from asteroid.store.models import has_model
from asteroid.store.rows import core_seconds
from asteroid.strategies import strategy_named

Record = dict[str, Any]
Kind = Literal["explored", "picked", "round", "further"]

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
        settings: the molecule's, with the budget of this round; of the one before as long as the batch has not been
            picked, or where the loop has ended. Before the first round, with a few labels that tell what one costs.
        picked: whether it is known what is to be labelled.
        stop: why there is no such round; None where it is to be run.
    """

    number: int
    settings: MoleculeSettings
    picked: bool = False
    stop: str | None = None


def next_round(store: Store, molecule: MoleculeSettings) -> NextRound:
    """Where the loop of a molecule stands."""
    adopt_rounds(store, molecule)
    rounds = read_rounds(store, molecule)
    number = len(rounds)
    if (picked := read_step(store, molecule, "picked", number)) is not None:
        # Labels of a batch may be there already, whatever the budget says now: they are paid for.
        return NextRound(number, round_settings(molecule, picked["labels"]), picked=True)
    if not rounds:
        return NextRound(0, _probe(molecule))
    decision = decide_next(store, molecule, rounds)
    before = round_settings(molecule, rounds[-1]["labels"])
    # A failed certificate has ordered this round: see asteroid.stages.feedback.
    ordered = read_step(store, molecule, "further", number) is not None
    return NextRound(number, before, stop=decision.reason if decision.stop and not ordered else None)


def begin_rounds(store: Store, molecule: MoleculeSettings) -> None:
    """Write down how many labels the first round buys; which ones, the selection by diversity decides."""
    with lock(store, f"acquiring {molecule.model_name}"):
        if read_step(store, molecule, "picked", 0) is None:
            labels = _first_labels(store, molecule)
            first = {"round": 0, "labels": labels, "criterion": "diverse", "picked": [], "core_seconds": 0.0}
            store.write_json(step_path(molecule, "picked", 0), first)


def round_settings(molecule: MoleculeSettings, labels: int) -> MoleculeSettings:
    """The molecule's settings with so many accurate labels: all stages know a round as a budget."""
    return replace(molecule, budget=molecule.budget.model_copy(update={"accurate": labels}))


def last_model(store: Store, molecule: MoleculeSettings) -> str | None:
    """Id of the model that a training with this budget goes on from: that of the last round with fewer labels.

    None for a first round, a molecule without rounds, or where each round trains anew.
    """
    if molecule.acquisition is None or not trains_on(molecule):
        return None
    earlier = [found for found in read_rounds(store, molecule) if found["labels"] < molecule.budget.accurate]
    return str(earlier[-1]["model_id"]) if earlier else None


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


def decide_next(store: Store, molecule: MoleculeSettings, rounds: Sequence[Mapping[str, Any]]) -> Decision:
    """Whether another round pays and can be paid for."""
    settings, last = acquisition(molecule), rounds[-1]
    # All models on the held-out frames of now: they have become more since the first round, and harder.
    summaries = [
        RoundSummary(
            labels=found["accurate_labels"],
            force_mae=point["force_mae"],
            low=point["low"],
            high=np.inf if point["high"] is None else point["high"],
            core_seconds=round_seconds(found),
        )
        for found, point in zip(rounds, last["curve"], strict=True)
    ]
    # Labels that failed and could not be replaced count as spent.
    spent = last["labels"] >= molecule.budget.accurate
    decision = decide(summaries, settings, most_labels=last["accurate_labels"] if spent else None)
    if decision.stop or settings.core_hours is None:
        return decision
    left = 3600 * settings.core_hours - sum(round_seconds(found) for found in rounds)
    needed = expected_round_seconds(rounds) + expected_label_seconds(store, molecule, molecule.accurate)
    if needed > left:
        reason = (
            f"another round takes at least {needed / 3600:.3g} core-hours, and {left / 3600:.3g} are left of the "
            f"{settings.core_hours:g}"
        )
        return Decision(True, reason, decision.expected_gain)
    return decision


def decide_further(store: Store, molecule: MoleculeSettings, rounds: Sequence[Mapping[str, Any]]) -> Decision:
    """Whether a round that a failed certificate wants can be paid for: by labels and core-hours alone."""
    open_ended = {"target": None, "least_gain": 0.0, "rounds": len(rounds) + 1}
    settings = acquisition(molecule).model_copy(update=open_ended)
    return decide_next(store, replace(molecule, acquisition=settings), rounds)


def batch_size(store: Store, molecule: MoleculeSettings, rounds: Sequence[Mapping[str, Any]], spent: float) -> int:
    """Accurate labels that the next round buys: as many as are asked for and can be paid for; at least one.

    Args:
        spent: core-seconds that the round has cost already.
    """
    settings, last = acquisition(molecule), rounds[-1]
    wanted = min(settings.batch, molecule.budget.accurate - int(last["labels"]))
    if settings.core_hours is not None:
        left = 3600 * settings.core_hours - sum(round_seconds(found) for found in rounds) - spent
        left -= last["core_seconds"]["training"]
        wanted = min(wanted, int(left / expected_label_seconds(store, molecule, molecule.accurate)))
    return max(1, wanted)


def expected_round_seconds(rounds: Sequence[Mapping[str, Any]]) -> float:
    """Core-seconds of exploration and training in the next round, by the last one.

    A first exploration is taken to cost what training did.
    """
    last = rounds[-1]["core_seconds"]
    return float(last["training"] + (last["exploration"] or last["training"]))


def extend_selection(store: Store, molecule: MoleculeSettings, number: int) -> None:
    """Choose the batch of a round for the accurate level; done again, it adds nothing."""
    from asteroid.sampling.choose import extend_accurate

    picked = read_step(store, molecule, "picked", number)
    if picked is None:
        return
    if picked.get("bought", {}).get("kind") == "energies":
        # First, so that these frames are never waiting for forces.
        ids = [frame["frame_id"] for frame in picked["picked"] if frame["split"] == "train"]
        name = f"energies-{loop_folder(molecule).rpartition('/')[2]}-{number:03d}"
        store.select(molecule.name, molecule.accurate, ids, name=name, criterion=ENERGIES_ALONE, round=number)
    for split in TRAINING_SPLITS:
        ids = [frame["frame_id"] for frame in picked["picked"] if frame["split"] == split]
        extend_accurate(store, molecule, split, ids, criterion=picked["criterion"], round=number)


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
    for level in (molecule.cheap, *molecule.ladder, molecule.accurate):
        table = store.attempts(molecule.name, level)
        table = table.filter(pc.invert(pc.is_in(table["frame_id"], value_set=judging)))
        seconds += float(core_seconds(table).sum())
    return seconds


def round_seconds(found: Mapping[str, Any]) -> float:
    """Core-seconds of a recorded round: labels, training and exploration."""
    return float(sum(found["core_seconds"].values()))


def read_rounds(store: Store, molecule: MoleculeSettings) -> list[Record]:
    """Records of all finished rounds, the first first; a round whose model was moved away is not finished."""
    found: list[Record] = []
    while (record := read_step(store, molecule, "round", len(found))) is not None:
        if not has_model(store, molecule.model_name, record["model_id"]):
            break
        found.append(record)
    return found


def read_step(store: Store, molecule: MoleculeSettings, kind: Kind, number: int) -> Record | None:
    """What a step of a round has left; None before it is finished."""
    path = step_path(molecule, kind, number)
    if not store.exists(path):
        return None
    record: Record = store.read_json(path)
    return record


def step_path(molecule: MoleculeSettings, kind: Kind, number: int, suffix: str = "json") -> str:
    return f"{loop_folder(molecule)}/{kind}-{number:03d}.{suffix}"


def loop_folder(molecule: MoleculeSettings) -> str:
    """Named by all that decides what a round does; budgets only decide whether there is another one."""
    foundation = molecule.training.foundation
    # By its content: the manifest may move.
    return _loop_folder(molecule, foundation and file_digest(foundation))


def _loop_folder(molecule: MoleculeSettings, foundation: str | None) -> str:
    training = content(molecule.training, exclude={"device", "foundation"})
    shaping = {
        "levels": [str(molecule.cheap), str(molecule.accurate)],
        "training": {**training, "foundation": foundation},
        "valid_fraction": molecule.budget.valid_fraction,
        "acquisition": content(acquisition(molecule), exclude=BUDGETS),
    }
    return paths.loop(molecule.model_name, digest(shaping))


def adopt_rounds(store: Store, molecule: MoleculeSettings) -> None:
    """Go on with rounds of version 0.1, whose folder was named by the path of the model to start from."""
    old, new = _loop_folder(molecule, molecule.training.foundation), loop_folder(molecule)
    if old != new and not store.names(new):
        # The first rounds last: a kill in between leaves nothing that reads as a loop.
        for name in reversed(store.names(old)):
            store.write(f"{new}/{name}", store.read(f"{old}/{name}"))


def acquisition(molecule: MoleculeSettings) -> AcquisitionSettings:
    assert molecule.acquisition is not None, "only a molecule with these settings has rounds"
    return molecule.acquisition


def _probe(molecule: MoleculeSettings) -> MoleculeSettings:
    """The fewest labels that a budget may ask for: what they cost says how many the first round can pay for."""
    budget = molecule.budget.model_copy(update={"accurate": LEAST_LABELS, "test": 1})
    return replace(molecule, budget=budget)


def _first_labels(store: Store, molecule: MoleculeSettings) -> int:
    """Accurate labels of the first round: as many as are asked for, or as have been chosen and paid for already."""
    from asteroid.sampling.choose import chosen_accurate

    settings, budget = acquisition(molecule), molecule.budget
    labels = store.labels(molecule.name, molecule.accurate)
    there = sum(i in labels for split in TRAINING_SPLITS for i in chosen_accurate(store, molecule, split))
    wanted = settings.initial
    if settings.core_hours is not None:
        left = 3600 * settings.core_hours - label_seconds(store, molecule)
        each = expected_label_seconds(store, molecule, molecule.accurate)
        tested = sum(i in labels for i in chosen_accurate(store, molecule, "test"))
        affordable = there + int(left / each) - (budget.test - tested)
        wanted = min(wanted, max(LEAST_LABELS, affordable))
    return min(budget.accurate, max(wanted, there))
