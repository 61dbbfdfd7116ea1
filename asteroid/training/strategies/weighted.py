"""``weighted``: ASTEROID, which trusts each cheap label by its estimated bias (:mod:`asteroid.training.bias`)."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from asteroid.configuration import Configuration
from asteroid.errors import TrainingError
from asteroid.training.bias import (
    TRIAL_STEPS,
    Floats,
    Weighting,
    atom_disagreement,
    choose_weights,
    frame_disagreement,
    split_weights,
)
from asteroid.training.dataset import LabelledFrame
from asteroid.training.predict import predict
from asteroid.training.session import Session
from asteroid.training.strategies.problem import Problem, Trained
from asteroid.training.strategies.steps import finetune, pretrain, with_weights


def weighted(problem: Problem, session: Session) -> Trained:
    """Pretrain on cheap labels, each weighted by how little it disagrees with the teachers, then fine-tune."""
    cheap = [frame for frame in problem.cheap if frame.forces is not None]
    if not cheap:
        raise TrainingError("no cheap label has forces, so their bias cannot be estimated; use the strategy unweighted")
    settings = problem.settings
    by_atom = settings.weights == "atom"
    weigh = _weigh_atoms if by_atom else with_weights

    def trial(index: int, values: Floats) -> float:
        result = session.fit(
            f"gamma-{index + 1}",
            session.new_model(cheap),
            weigh(cheap, values),
            steps=max(1, round(TRIAL_STEPS * settings.pretrain_steps)),
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            accurate=False,
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
    """Mean of the forces that several models predict, (N, 3) eV/Å for each configuration."""
    predictions = [predict(model, configurations)[1] for model in models]
    return [np.mean(forces, axis=0) for forces in zip(*predictions, strict=True)]


def _weigh_atoms(frames: Sequence[LabelledFrame], weights: Floats) -> list[LabelledFrame]:
    """The same labelled frames with other weights, given for each atom of each frame in turn."""
    values, atom_weights = split_weights(weights, [len(frame.configuration.numbers) for frame in frames])
    return [
        dataclasses.replace(frame, weight=weight, atom_weights=within)
        for frame, weight, within in zip(frames, values.tolist(), atom_weights, strict=True)
    ]
