"""Train one model from the labels in the store, and store ``model.model`` and its card.

The id of a model is a hash of everything that determines it, so a model is never trained twice, and a killed training
finds its checkpoint. The main functions are :func:`train_model` and :func:`load_calculator`.
"""

import dataclasses
import datetime as dt
import functools
import hashlib
import io
import json
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from ase.calculators.calculator import Calculator
from mace.modules import ScaleShiftMACE

from asteroid.configuration import SYMBOLS
from asteroid.data.training_set import TrainingSet, write_training_set
from asteroid.errors import InputError
from asteroid.mace_files import read_mace
from asteroid.manifest import Strategy, TrainingSettings
from asteroid.store import Store, paths, records
from asteroid.store.checkpoints import StoredCheckpoints
from asteroid.store.models import (
    ID_ATTRIBUTE,
    Candidate,
    Card,
    CardFrames,
    Weights,
    damaged_model,
    has_model,
    read_card,
    read_model,
    write_model,
)
from asteroid.store.records import DipoleModel
from asteroid.strategies import BASELINE, strategy_named
from asteroid.training.baseline import Baseline, checked, read_baseline
from asteroid.training.bias import effective_sample_size
from asteroid.training.calculator import ModelCalculator, Region
from asteroid.training.dataset import LabelledFrame, Precision
from asteroid.training.difference import difference_calculator
from asteroid.training.fit import Progress
from asteroid.training.held_out import HeldOut
from asteroid.training.inputs import determining_settings, label_keys, read_problem, settings_for, teacher_seeds
from asteroid.training.member import MEMBER
from asteroid.training.model import choose_device
from asteroid.training.predict import predict
from asteroid.training.problem import Problem, Trained
from asteroid.training.session import Session
from asteroid.usage import measure
from asteroid.version import __version__

logger = logging.getLogger(__name__)


def train_model(
    store: Store,
    name: str,
    data: TrainingSet,
    *,
    strategy: Strategy | Literal["member"],
    settings: TrainingSettings,
    start: str | None = None,
    on_progress: Progress | None = None,
) -> Card:
    """Train a model, or return the card of an existing one.

    Args:
        name: of the model; that of its molecule if it has only one.
        data: frames and levels. Score matching uses only the configurations of the cheap frames.
        strategy: or ``member``, see :func:`asteroid.acquisition.committee.train_committee`.
        start: id of a finished model of this name to start from, in place of random weights or a foundation model.
        on_progress: called with (stage, step, steps, held-out errors).

    Raises:
        TrainingError: when too few of these frames have labels.
        InputError: for an unknown strategy, or a model to start from that cannot be used.
    """
    definition = MEMBER if strategy == "member" else strategy_named(strategy)
    if definition.heads > 1 and start is not None:
        raise InputError(f"start: found a model with the strategy {strategy}, which trains two heads; leave it out")
    used = settings_for(settings, definition, start)
    problem = read_problem(store, data, definition, used)
    reads_cheap = definition.needs_cheap or definition.needs_paired
    levels = [str(data.accurate), str(data.cheap) if reads_cheap else None]
    baseline = _baseline(store, problem, data, difference=definition.learns_difference)
    determining = {
        "strategy": strategy,
        "levels": levels,
        "settings": determining_settings(used, definition, start),
        "labels": label_keys(problem),
        "atoms": baseline.key,
    }
    if len(data.molecules) > 1:
        determining["molecules"] = list(data.molecules)
    model_id = _digest(determining)
    checkpoints = StoredCheckpoints(store, paths.checkpoints(f"{name}/{model_id}"))
    if has_model(store, name, model_id):
        # From a process that was killed right after writing the card.
        checkpoints.clear()
        card = read_card(store, name, model_id)
        if not all(has_model(store, name, teacher) for teacher in card.teachers):
            _train_teachers(store, name, data, settings, on_progress)
        return card

    # Before the training, because labels may be added while it runs.
    training_set = write_training_set(store, name, data)
    parents = {}
    if definition.needs_teacher:
        parents = _train_teachers(store, name, data, settings, on_progress)
        device = choose_device(settings.device)
        teachers = [load_model(store, name, teacher).to(device) for teacher in parents.values()]
        problem = dataclasses.replace(problem, teachers=teachers)

    with measure(choose_device(settings.device).type) as usage:
        labelled = (*problem.accurate_train, *problem.accurate_valid)
        elements = sorted(
            {int(z) for f in (*labelled, *problem.cheap, *problem.configurations) for z in f.configuration.numbers}
        )
        session = Session(
            used,
            problem.accurate_train,
            problem.accurate_valid,
            elements,
            checkpoints=checkpoints,
            atoms=baseline.atoms,
            start=None if start is None else cast(ScaleShiftMACE, load_model(store, name, start)),
            on_progress=on_progress,
            used=usage,
        )
        trained: Trained = definition.recipe(problem, session)
        model, references = session.finish(trained.model)
        held_out = list(session.results.values())[-1].held_out
        if any(frame.forces is not None for frame in problem.accurate_train):
            # With the reference energies that were fitted at the end.
            held_out = HeldOut(held_out.force_mae, _energy_mae(model, problem.accurate_valid))
        seconds = {name: result.seconds for name, result in session.results.items()}
        if trained.correction is not None:
            # Beside that of the network, if there was one.
            seconds["correction"] = seconds.get("correction", 0.0) + (trained.correction.seconds or 0.0)
    card = Card(
        model_id=model_id,
        molecule=name,
        molecules=tuple(data.molecules),
        training_set=training_set,
        strategy=strategy,
        cheap=levels[1],
        accurate=str(data.accurate),
        adds_to=str(data.cheap) if definition.learns_difference else None,
        seed=settings.seed,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        asteroid_version=__version__,
        settings={**used.model_dump(mode="json"), "strategy": strategy},
        frames=CardFrames(
            accurate_train=tuple(f.frame_id for f in problem.accurate_train),
            accurate_valid=tuple(f.frame_id for f in problem.accurate_valid),
            cheap=len(problem.cheap),
            paired=len(problem.paired_cheap),
            configurations=len(problem.configurations),
            energy_only=sum(f.forces is None for f in labelled),
        ),
        compositions=tuple(sorted({frame.configuration.formula for frame in labelled})),
        reference_energies={SYMBOLS[z]: energy for z, energy in references.elements.items()},
        energy_shift=references.shift,
        baseline=baseline.source,
        history=tuple(line for result in session.results.values() for line in result.history),
        weights=_weights(trained, "valid_energy_mae" if held_out.force_mae is None else "valid_force_mae"),
        correction=trained.correction,
        valid_force_mae=held_out.force_mae,
        valid_energy_mae=held_out.energy_mae,
        seconds=seconds,
        core_seconds=usage.cpu,
        gpu_seconds=usage.gpu,
        device=session.device.type,
        precision=settings.precision,
        parameters=sum(p.numel() for p in model.parameters()),
        parents=parents if start is None else {**parents, "start": start},
    )
    setattr(model, ID_ATTRIBUTE, model_id)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    card = write_model(store, card, buffer.getvalue())
    checkpoints.clear()
    logger.info("%s: model %s (%s), %s", name, model_id, strategy, held_out)
    return card


def load_model(store: Store, name: str, model_id: str) -> torch.nn.Module:
    """The MACE module of a finished model, in double precision on the CPU. No code of the file is run.

    For a Δ-model (``adds_to`` in its card), it predicts only the difference from that level.

    Raises:
        StoreError: when the file is damaged, see :mod:`asteroid.store.models`, or is a model that cannot be built
            without running its code, see :mod:`asteroid.mace_files`.
    """
    try:
        model = read_mace(read_model(store, name, model_id))
    except ValueError as error:
        raise damaged_model(store, name, model_id, str(error)) from error
    # Files of earlier versions have no id.
    if (found := getattr(model, ID_ATTRIBUTE, model_id)) != model_id:
        raise damaged_model(store, name, model_id, f"it is model {found}")
    return model


def read_dipole_model(store: Store, name: str, model_id: str) -> DipoleModel | None:
    """The dipole model that :mod:`asteroid.stages.infrared` has fitted beside a model; None without one."""
    path = paths.dipole_model(name, model_id)
    return records.read(store, DipoleModel, path) if store.exists(path) else None


def load_calculator(
    store: Store,
    name: str,
    model_id: str,
    *,
    device: str = "auto",
    dtype: Precision = "float64",
    region: Callable[[Store, Card, torch.nn.Module], Region] | None = None,
) -> Calculator:
    """An ASE calculator of a finished model; for a Δ-model, with the cheap method.

    It has dipoles if the model has a dipole model.

    It warns once for each composition that the model was not trained on, and refuses elements that the model lacks.

    Args:
        region: makes the region that the model knows, for ``forces_uncertainty``; not for a Δ-model.

    Raises:
        InputError: when the cheap method of a Δ-model cannot be computed.
    """
    model = load_model(store, name, model_id)
    card = read_card(store, name, model_id)
    first = store.frames(card.molecules[0], ids=card.frames.accurate_train)[:1]
    calculator = ModelCalculator(
        name=model_id,
        compositions=card.compositions or [frame.configuration.formula for frame in first],
        region=None if region is None else functools.partial(region, store, card),
        models=[model.float() if dtype == "float32" else model],
        device=choose_device(device).type,
        default_dtype=dtype,
        dipoles=read_dipole_model(store, name, model_id),
    )
    if card.adds_to is None:
        return calculator
    return difference_calculator(calculator, card.adds_to, first[0].configuration)


def _train_teachers(
    store: Store, name: str, data: TrainingSet, settings: TrainingSettings, on_progress: Progress | None
) -> dict[str, str]:
    """Model ids of the teachers by role; the first is also the scratch model of a comparison with the same seed."""
    parents = {}
    for index, seed in enumerate(teacher_seeds(settings)):
        seeded = settings.model_copy(update={"seed": seed})
        card = train_model(store, name, data, strategy=BASELINE, settings=seeded, on_progress=on_progress)
        parents["teacher" if index == 0 else f"teacher-{index + 1}"] = card.model_id
    return parents


def _baseline(store: Store, problem: Problem, data: TrainingSet, *, difference: bool) -> Baseline:
    """The zero of the model's energies; for a Δ-model, the difference of both levels."""
    frames = [*problem.accurate_train, *problem.accurate_valid]
    elements = {int(z) for frame in frames for z in frame.configuration.numbers}
    baseline = read_baseline(store, data.accurate, elements)
    if difference:
        baseline = baseline - read_baseline(store, data.cheap, elements)
    return checked(baseline, [frame.configuration.numbers for frame in frames], [frame.energy for frame in frames])


def _energy_mae(model: torch.nn.Module, frames: Sequence[LabelledFrame]) -> float:
    """Mean absolute energy error of the finished model, eV/atom."""
    energies, _ = predict(model, [frame.configuration for frame in frames])
    errors = [(energy - f.energy) / len(f.configuration.numbers) for energy, f in zip(energies, frames, strict=True)]
    return float(np.abs(errors).mean())


def _weights(trained: Trained, error: str) -> Weights | None:
    weighting = trained.weighting
    if weighting is None:
        return None
    return Weights(
        gamma=_finite(weighting.gamma),
        candidates=tuple(Candidate(_finite(gamma), **{error: value}) for gamma, value in weighting.candidates),
        effective_sample_size=effective_sample_size(weighting.values),
        frame_ids=tuple(trained.weighted_ids),
        disagreement=tuple(weighting.disagreement.tolist()),
        values=tuple(weighting.values.tolist()),
        atoms=None if trained.atom_weights is None else tuple(tuple(w.tolist()) for w in trained.atom_weights),
    )


def _finite(gamma: float) -> float | None:
    """None for infinity (no weighting), which JSON lacks."""
    return gamma if math.isfinite(gamma) else None


def _digest(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
