"""What a round came to: errors before and after, cost, and whether another round pays.

The model before is scored on the labels that the round bought, which it has never seen; all models so far on the
held-out frames of now. The report shows the record, the loop goes by it. Needs torch.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from asteroid.data.training_set import TrainingFrames
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.stages.models import round_model, training_frames
from asteroid.stages.rounds import (
    SAMPLED,
    Record,
    acquisition,
    decide_next,
    label_seconds,
    next_round,
    read_rounds,
    read_step,
    step_path,
)
from asteroid.stages.scoring import force_errors, held_out_frames, load_models, with_forces
from asteroid.store import Store
from asteroid.store.models import read_card


def record_round(store: Store, molecule: MoleculeSettings) -> str:
    """Write down the round whose model has just been trained; what is decided, in words."""
    from asteroid.acquisition.stopping import mean_interval

    rounds, upcoming = read_rounds(store, molecule), next_round(store, molecule)
    if not upcoming.picked:
        return "recorded already"
    number, settings = upcoming.number, upcoming.settings
    final = round_model(store, settings)
    there = read_step(store, molecule, "round", number)
    if there is not None and there["model_id"] == final:
        # Its model alone had been lost, and was trained again.
        return str(there["decision"]["reason"])
    if final is None:
        raise AsteroidError(f"{molecule.name}: the labels of round {number} changed while it trained; run again")
    frames, labels, _ = training_frames(store, settings)
    explored, picked = (read_step(store, molecule, kind, number) for kind in ("explored", "picked"))
    held_out = held_out_frames(store, molecule, frames.unused, labels)
    trained = [*(found["model_id"] for found in rounds), final]
    modules = dict(zip(trained, load_models(store, molecule, trained), strict=True))
    curve = [_interval(mean_interval(force_errors(modules[i], held_out, labels))) for i in trained]
    batch: list[dict[str, Any]] = picked["picked"] if picked and rounds else _first_batch(frames)
    fresh = None
    if rounds and (new := with_forces(store, molecule, [frame["frame_id"] for frame in batch], labels)):
        errors = force_errors(modules[trained[-2]], new, labels)
        fresh = _interval(mean_interval(errors))
        actual = {frame.frame_id: float(error) for frame, error in zip(new, errors, strict=True)}
        batch = [{**frame, "error": actual.get(frame["frame_id"])} for frame in batch]
    trained_now, training = _training_cost(store, molecule, final, rounds)
    record: Record = {
        "round": number,
        "model_id": final,
        "models": trained_now,
        "criterion": picked and picked["criterion"],
        "bought": picked.get("bought") if picked else None,
        "settings": acquisition(molecule).model_dump(mode="json"),
        "labels": settings.budget.accurate,
        "accurate_labels": len(frames.train) + len(frames.held_out),
        "held_out": {**curve[-1], "frames": len(held_out)},
        "curve": curve,
        "committee": explored["committee"] if explored else [],
        "calibration": explored["calibration"] if explored else None,
        "because": explored.get("because", []) if explored else [],
        "explored": explored and picked and _explored(explored, picked),
        "picked": batch,
        "fresh_error": fresh,
        "core_seconds": {
            "labels": label_seconds(store, molecule) - sum(found["core_seconds"]["labels"] for found in rounds),
            "training": training,
            "exploration": sum(step["core_seconds"] for step in (explored, picked) if step),
        },
    }
    decision = decide_next(store, molecule, [*rounds, record])
    store.write_json(step_path(molecule, "round", number), {**record, "decision": asdict(decision)})
    return decision.reason


def _explored(explored: Record, picked: Record) -> Record:
    """What the exploration found, and what was dropped of it then or when its cheap labels were there."""
    dropped: Counter[str] = Counter(explored["dropped"]) + Counter(picked["dropped"])
    return {**{key: explored[key] for key in ("replicas", "frames", "limit")}, "dropped": dict(dropped)}


def _training_cost(
    store: Store, molecule: MoleculeSettings, final: str, rounds: Sequence[Record]
) -> tuple[list[str], float]:
    """Models that this round has trained (its final one and teachers), and their core-seconds."""

    parents = read_card(store, molecule.model_name, final).parents.values()
    earlier = {model_id for found in rounds for model_id in found["models"]}
    new = sorted({final, *parents} - earlier)
    return new, sum(read_card(store, molecule.model_name, model_id).core_seconds for model_id in new)


def _first_batch(frames: TrainingFrames) -> list[dict[str, Any]]:
    """The labels of the first round, which no model has picked."""
    unknown = {"uncertainty": None, "bound": None, "bias": None, "source": SAMPLED, "temperature": None}
    splits = {**dict.fromkeys(frames.train, "train"), **dict.fromkeys(frames.held_out, "valid")}
    return [{"frame_id": frame_id, "split": split, **unknown} for frame_id, split in splits.items()]


def _interval(found: tuple[float, float, float]) -> dict[str, float | None]:
    """JSON has no infinity: None is no upper end."""
    mean, low, high = found
    return {"force_mae": mean, "low": low, "high": high if np.isfinite(high) else None}
