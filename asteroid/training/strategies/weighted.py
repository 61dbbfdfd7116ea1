"""``weighted``: ASTEROID, which weights cheap labels by their estimated bias (:mod:`asteroid.training.bias`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from asteroid.configuration import Configuration
from asteroid.errors import TrainingError
from asteroid.settings import TrainingSettings
from asteroid.strategies import CHEAP_LABELS, Phase, StrategyDefinition
from asteroid.training.bias import (
    QUANTILES,
    TRIAL_STEPS,
    Floats,
    Weighting,
    atom_disagreement,
    choose_weights,
    frame_disagreement,
    split_weights,
)
from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import READS_PRETRAINED, alone, finetune, finetuning, pretrain, pretraining, with_weights

if TYPE_CHECKING:
    import torch

    from asteroid.training.dataset import LabelledFrame
    from asteroid.training.session import Session


def weighted(problem: Problem, session: Session) -> Trained:
    """Pretrain on cheap labels, weighted by their agreement with the teachers, then fine-tune."""
    cheap = [frame for frame in problem.cheap if frame.forces is not None]
    if not cheap:
        raise TrainingError("no cheap label has forces, so their bias cannot be estimated; use the strategy unweighted")
    settings = problem.settings
    by_atom = settings.weights == "atom"
    weigh = _weigh_atoms if by_atom else with_weights

    def trial(index: int, values: Floats) -> float:
        result = session.fit(
            _trial(settings, index),
            session.new_model(cheap),
            weigh(cheap, values),
            learning_rate=settings.learning_rate,
            keep=False,
        )
        return result.held_out.criterion

    estimated = mean_forces(problem.teachers, [frame.configuration for frame in cheap])
    forces = [frame.forces for frame in cheap if frame.forces is not None]
    by_frame = frame_disagreement(forces, estimated)
    disagreement = np.concatenate(atom_disagreement(forces, estimated)) if by_atom else by_frame
    chosen = choose_weights(disagreement, None if settings.gamma == "auto" else settings.gamma, trial)
    model = pretrain(problem, session, weigh(cheap, chosen.values))
    finetune(problem, session, model)
    ids = [frame.frame_id for frame in cheap]
    if not by_atom:
        return Trained(model, chosen, ids)
    values, atom_weights = split_weights(chosen.values, [len(f) for f in forces])
    return Trained(model, Weighting(chosen.gamma, chosen.candidates, by_frame, values), ids, atom_weights)


def mean_forces(models: Sequence[torch.nn.Module], configurations: Sequence[Configuration]) -> list[Floats]:
    """Mean forces of several models, (N, 3) eV/Å for each configuration."""
    from asteroid.training.predict import predict

    predictions = [predict(model, configurations)[1] for model in models]
    return [np.mean(forces, axis=0) for forces in zip(*predictions, strict=True)]


def _weigh_atoms(frames: Sequence[LabelledFrame], weights: Floats) -> list[LabelledFrame]:
    """The frames with new weights, given for all atoms of all frames."""
    values, atom_weights = split_weights(weights, [len(frame.configuration.numbers) for frame in frames])
    return [
        dataclasses.replace(frame, weight=weight, atom_weights=within)
        for frame, weight, within in zip(frames, values.tolist(), atom_weights, strict=True)
    ]


def _trial(settings: TrainingSettings, index: int) -> Phase:
    """Phase of a short pretraining with one gamma."""
    steps = max(1, round(TRIAL_STEPS * settings.pretrain_steps))
    return Phase(f"gamma-{index + 1}", steps, settings.batch_size)


def _phases(settings: TrainingSettings) -> list[Phase]:
    trials = len(QUANTILES) + 1 if settings.gamma == "auto" else 0
    return [
        *[alone(settings)] * (settings.teachers - 1),
        *(_trial(settings, index) for index in range(trials)),
        pretraining(settings),
        finetuning(settings),
    ]


STRATEGY = StrategyDefinition(
    name="weighted",
    how="pretrained on {labels} of {cheap}, weighted by their estimated bias",
    aid=CHEAP_LABELS,
    recipe=weighted,
    phases=_phases,
    needs_cheap=True,
    needs_cheap_forces="weighs labels by their forces",
    needs_teacher=True,
    starts_from="either",
    reads=READS_PRETRAINED | {"gamma", "weights", "teachers"},
)
