"""Record of a round: errors before and after, cost, and the decision about another round.

The previous model is tested on the new labels, which it has never seen; all models so far on the present held-out
frames. The loop and the report read the record. Needs torch.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from asteroid.configuration import Split
from asteroid.data.training_set import TrainingFrames
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.stages.models import round_model, training_frames
from asteroid.stages.picking import SAMPLED
from asteroid.stages.round_files import Round, acquisition, model_of, read_record, read_rounds, trainers, write_record
from asteroid.stages.rounds import decide_next, label_seconds, next_round
from asteroid.stages.scoring import force_errors, held_out_frames, load_models, with_forces
from asteroid.store import Store
from asteroid.store.models import read_card
from asteroid.store.round_records import (
    Decision,
    ErrorInterval,
    ExplorationSummary,
    Explored,
    Picked,
    PickedFrame,
    RoundCost,
    RoundRecord,
)


def record_round(store: Store, molecule: MoleculeSettings) -> str:
    """Record the round of the newest model; returns the reason to continue or stop.

    Raises:
        AsteroidError: when labels changed during the training.
    """
    rounds, upcoming = read_rounds(store, molecule), next_round(store, molecule)
    if not upcoming.picked:
        return "recorded already"
    number, settings = upcoming.number, upcoming.settings
    final = round_model(store, settings)
    members = trainers(settings)
    there = [record for member in members if (record := read_record(store, member, RoundRecord, number))]
    if len(there) == len(members) and all(record.model_id == final for record in there):
        # Only the model was lost, and was trained again.
        return there[0].decision.reason
    if final is None:
        raise AsteroidError(f"{molecule.model_name}: the labels of round {number} changed while it trained; run again")
    trained = [*map(model_of, rounds), final]
    modules = dict(zip(trained, load_models(store, molecule, trained), strict=True))
    records = {member.name: _record(store, member, rounds, number, modules) for member in members}
    decision = decide_next(store, molecule, [*rounds, records])
    for member in members:
        write_record(store, member, replace(records[member.name], decision=decision))
    return decision.reason


def _record(
    store: Store, molecule: MoleculeSettings, rounds: Sequence[Round], number: int, modules: Mapping[str, Any]
) -> RoundRecord:
    """The record of one molecule, without the decision.

    Args:
        molecule: with the label budget of the round.
        modules: models of all rounds so far, by id.
    """
    from asteroid.acquisition.stopping import mean_interval

    frames, labels, _ = training_frames(store, molecule)
    explored, batch = read_record(store, molecule, Explored, number), read_record(store, molecule, Picked, number)
    held_out = held_out_frames(store, molecule, frames.unused, labels)
    curve = tuple(_interval(mean_interval(force_errors(model, held_out, labels))) for model in modules.values())
    picked = batch.picked if batch and rounds else _first_batch(frames)
    fresh = None
    if rounds and (new := with_forces(store, molecule, [frame.frame_id for frame in picked], labels)):
        errors = force_errors(modules[model_of(rounds[-1])], new, labels)
        fresh = _interval(mean_interval(errors))
        actual = {frame.frame_id: float(error) for frame, error in zip(new, errors, strict=True)}
        picked = tuple(replace(frame, error=actual.get(frame.frame_id)) for frame in picked)
    *_, final = modules
    trained_now, training = _training_cost(store, molecule, final, rounds)
    earlier_labels = sum(found[molecule.name].core_seconds.labels for found in rounds)
    return RoundRecord(
        round=number,
        model_id=final,
        models=trained_now,
        criterion=batch.criterion if batch else None,
        bought=batch.bought if batch else None,
        share=batch.share if batch else "",
        settings=acquisition(molecule).model_dump(mode="json"),
        labels=molecule.budget.accurate,
        ladder=batch.ladder if batch else (),
        accurate_labels=len(frames.train) + len(frames.held_out),
        held_out=curve[-1],
        curve=curve,
        committee=explored.committee if explored else (),
        calibration=explored.calibration if explored else None,
        because=explored.because if explored else (),
        explored=_explored(explored, batch) if explored and batch else None,
        picked=picked,
        fresh_error=fresh,
        core_seconds=RoundCost(
            labels=label_seconds(store, molecule) - earlier_labels,
            training=training,
            exploration=sum(step.core_seconds for step in (explored, batch) if step),
        ),
        decision=Decision(False, ""),
    )


def _explored(explored: Explored, batch: Picked) -> ExplorationSummary:
    """Summary of the exploration, with the frames dropped by it and those dropped after their cheap labels."""
    dropped: Counter[str] = Counter(explored.dropped) + Counter(batch.dropped)
    return ExplorationSummary(
        replicas=explored.replicas, frames=explored.frames, limit=explored.limit, dropped=dict(dropped)
    )


def _training_cost(
    store: Store, molecule: MoleculeSettings, final: str, rounds: Sequence[Round]
) -> tuple[tuple[str, ...], float]:
    """Ids of the models trained in this round, the final one and its teachers, and their core-seconds."""
    parents = read_card(store, molecule.model_name, final).parents.values()
    earlier = {model_id for found in rounds for model_id in found[molecule.name].models}
    new = sorted({final, *parents} - earlier)
    return tuple(new), sum(read_card(store, molecule.model_name, model_id).core_seconds for model_id in new)


def _first_batch(frames: TrainingFrames) -> tuple[PickedFrame, ...]:
    """Frames of the first round, which were selected by diversity."""
    splits: dict[str, Split] = {**dict.fromkeys(frames.train, "train"), **dict.fromkeys(frames.held_out, "valid")}
    return tuple(PickedFrame(frame_id=i, split=split, source=SAMPLED) for i, split in splits.items())


def _interval(found: tuple[float, float, float]) -> ErrorInterval:
    """As a record; JSON has no infinity, so None is an unbounded interval."""
    mean, low, high = found
    return ErrorInterval(mean, low, high if np.isfinite(high) else None)
