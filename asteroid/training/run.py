"""Train one model from the store into the store: ``model.model`` and the card that says what it was made from.

The name of a model is a hash of all that determines it, so a model that is there is never trained again, and a training
that was killed finds its checkpoint. Flows and the command line call :func:`train_model` and :func:`load_calculator`.
"""

import dataclasses
import datetime as dt
import hashlib
import io
import json
import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from mace.calculators import MACECalculator

import asteroid
from asteroid.configuration import SYMBOLS
from asteroid.errors import InputError, TrainingError, suggest
from asteroid.levels import LevelOfTheory
from asteroid.manifest import Strategy, TrainingSettings
from asteroid.store import Store
from asteroid.training.bias import Weighting, effective_sample_size
from asteroid.training.dataset import LabelledFrame, Precision, labelled_frames
from asteroid.training.fit import Progress
from asteroid.training.model import choose_device
from asteroid.training.session import Session, StoreCheckpoints
from asteroid.training.strategies import STRATEGIES, Problem, StrategyDefinition

logger = logging.getLogger(__name__)

Card = dict[str, Any]
"""What a model was made from and what it came to, as plain JSON values."""


def train_model(
    store: Store,
    molecule: str,
    *,
    strategy: Strategy,
    cheap: LevelOfTheory,
    accurate: LevelOfTheory,
    train_ids: Iterable[str],
    valid_ids: Iterable[str],
    cheap_ids: Iterable[str],
    settings: TrainingSettings,
    on_progress: Progress | None = None,
) -> Card:
    """Train a model, or return the card of the one that is already there.

    Args:
        train_ids, valid_ids: frames whose accurate labels train the model and stop its training.
        cheap_ids: frames whose cheap labels train it.
        on_progress: called with stage, step, steps and the held-out errors.

    Raises:
        TrainingError: when too few of these frames have labels.
        InputError: for an unknown strategy, or a foundation model that cannot be used.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"unknown strategy '{strategy}'; {suggest(strategy, STRATEGIES)}")
    definition = STRATEGIES[strategy]
    # Sorted: the same frames make the same model, in whatever order they were chosen.
    accurate_train = labelled_frames(store, molecule, accurate, sorted(train_ids))
    accurate_valid = labelled_frames(store, molecule, accurate, sorted(valid_ids))
    cheap_frames = labelled_frames(store, molecule, cheap, sorted(cheap_ids)) if definition.needs_cheap else []
    _check_counts(molecule, cheap, accurate, accurate_train, accurate_valid, cheap_frames, definition)

    determining = _determining_settings(settings, definition)
    labels = {
        "train": [_label(f) for f in accurate_train],
        "valid": [_label(f) for f in accurate_valid],
        "cheap": [_label(f) for f in cheap_frames],
    }
    levels = [str(accurate), str(cheap) if definition.needs_cheap else None]
    model_id = _digest({"strategy": strategy, "levels": levels, "settings": determining, "labels": labels})
    if store.exists(_path(molecule, model_id, "card.json")):
        return read_card(store, molecule, model_id)

    teacher, parents = None, {}
    if definition.needs_teacher:
        parent = train_model(
            store,
            molecule,
            strategy="scratch",
            cheap=cheap,
            accurate=accurate,
            train_ids=[f.frame_id for f in accurate_train],
            valid_ids=[f.frame_id for f in accurate_valid],
            cheap_ids=(),
            settings=settings,
            on_progress=on_progress,
        )
        parents["teacher"] = parent["model_id"]
        teacher = load_model(store, molecule, parent["model_id"]).to(choose_device(settings.device))

    checkpoints = StoreCheckpoints(store, molecule, model_id)
    elements = sorted({int(z) for f in [*accurate_train, *cheap_frames] for z in f.configuration.numbers})
    session = Session(
        settings, accurate_train, accurate_valid, elements, checkpoints=checkpoints, on_progress=on_progress
    )
    problem = Problem(accurate_train, accurate_valid, cheap_frames, teacher, settings)
    trained = definition.recipe(problem, session)
    model, reference_energies = session.finish(trained.model)
    last = list(session.results.values())[-1]
    seconds = {name: result.seconds for name, result in session.results.items()}
    card: Card = {
        "model_id": model_id,
        "molecule": molecule,
        "strategy": strategy,
        "cheap": levels[1],
        "accurate": levels[0],
        "seed": settings.seed,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "asteroid_version": asteroid.__version__,
        "settings": {**settings.model_dump(mode="json"), "strategy": strategy},
        "frames": {
            "accurate_train": [f.frame_id for f in accurate_train],
            "accurate_valid": [f.frame_id for f in accurate_valid],
            "cheap": len(cheap_frames),
            "energy_only": sum(f.forces is None for f in (*accurate_train, *accurate_valid)),
        },
        "reference_energies": {SYMBOLS[z]: energy for z, energy in reference_energies.items()},
        "history": [dataclasses.asdict(line) for result in session.results.values() for line in result.history],
        "weights": _weights(
            trained.weighting, "valid_energy_mae" if last.held_out.force_mae is None else "valid_force_mae"
        ),
        "valid_force_mae": last.held_out.force_mae,
        "valid_energy_mae": last.held_out.energy_mae,
        "seconds": seconds,
        "core_seconds": sum(seconds.values()) * torch.get_num_threads(),
        "device": session.device.type,
        "precision": settings.precision,
        "parameters": sum(p.numel() for p in model.parameters()),
        "parents": parents,
    }
    buffer = io.BytesIO()
    torch.save(model, buffer)
    store.write(_path(molecule, model_id, "model.model"), buffer.getvalue())
    store.write_json(_path(molecule, model_id, "card.json"), card)
    checkpoints.clear()
    logger.info("%s: model %s (%s), %s", molecule, model_id, strategy, last.held_out)
    return card


def read_card(store: Store, molecule: str, model_id: str) -> Card:
    """The card of a finished model."""
    card: Card = store.read_json(_path(molecule, model_id, "card.json"))
    return card


def load_model(store: Store, molecule: str, model_id: str) -> torch.nn.Module:
    """The MACE module of a finished model, in double precision on the CPU."""
    model: torch.nn.Module = torch.load(
        io.BytesIO(store.read(_path(molecule, model_id, "model.model"))), map_location="cpu", weights_only=False
    )
    return model


def load_calculator(
    store: Store, molecule: str, model_id: str, *, device: str = "auto", dtype: Precision = "float64"
) -> MACECalculator:
    """An ASE calculator of a finished model."""
    model = load_model(store, molecule, model_id)
    return MACECalculator(
        models=[model.float() if dtype == "float32" else model],
        device=choose_device(device).type,
        default_dtype=dtype,
    )


def _check_counts(
    molecule: str,
    cheap: LevelOfTheory,
    accurate: LevelOfTheory,
    accurate_train: Sequence[LabelledFrame],
    accurate_valid: Sequence[LabelledFrame],
    cheap_frames: Sequence[LabelledFrame],
    definition: StrategyDefinition,
) -> None:
    if len(accurate_train) < 2:
        raise TrainingError(
            f"{molecule}: {len(accurate_train)} labels at {accurate} to train from; label at least 2 training frames"
        )
    if not accurate_valid:
        raise TrainingError(f"{molecule}: no held-out label at {accurate}; label at least 1 such frame")
    if definition.needs_cheap and len(cheap_frames) < 2:
        raise TrainingError(f"{molecule}: {len(cheap_frames)} labels at {cheap} to pretrain on; label at least 2")


def _determining_settings(settings: TrainingSettings, definition: StrategyDefinition) -> dict[str, Any]:
    """Those settings that change the finished model of a strategy: others must not give it another name."""
    values = settings.model_dump(mode="json", exclude={"strategy", "device"})
    if settings.foundation is not None:
        path = Path(settings.foundation).expanduser()
        if not path.is_file():
            raise InputError(f"foundation: '{path}' is not a file; write the path of a MACE model")
        values["foundation"] = hashlib.sha256(path.read_bytes()).hexdigest()
    if not definition.weighs:
        values.pop("gamma")
    if definition.needs_cheap and not definition.needs_teacher:
        values.pop("scratch_steps")
    if not definition.needs_cheap:
        steps = values.pop("scratch_steps") or settings.pretrain_steps + settings.finetune_steps
        for name in ("pretrain_steps", "finetune_steps", "batch_size", "finetune_learning_rate"):
            values.pop(name)
        values["steps"] = steps
    return values


def _label(frame: LabelledFrame) -> list[Any]:
    """What of a label determines a model; forces come with their energy, but may be lacking."""
    return [frame.frame_id, frame.energy] if frame.forces is not None else [frame.frame_id, frame.energy, "energy only"]


def _weights(weighting: Weighting | None, error: str) -> dict[str, Any] | None:
    if weighting is None:
        return None
    return {
        "gamma": _finite(weighting.gamma),
        "candidates": [{"gamma": _finite(gamma), error: value} for gamma, value in weighting.candidates],
        "effective_sample_size": effective_sample_size(weighting.values),
        "disagreement": weighting.disagreement.tolist(),
        "values": weighting.values.tolist(),
    }


def _finite(gamma: float) -> float | None:
    """JSON has no infinity: None is no weighting."""
    return gamma if math.isfinite(gamma) else None


def _digest(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _path(molecule: str, model_id: str, name: str) -> str:
    return f"models/{molecule}/{model_id}/{name}"
