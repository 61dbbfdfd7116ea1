"""The ways to train from two sets of labels, each a short recipe over the one training loop.

Adding a strategy is a function and a line in :data:`STRATEGIES`. :mod:`asteroid.training.run` gives a recipe its
:class:`Problem` and keeps what it makes.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from asteroid.errors import TrainingError
from asteroid.manifest import Strategy, TrainingSettings
from asteroid.training.bias import TRIAL_STEPS, Floats, Weighting, choose_weights, frame_disagreement
from asteroid.training.dataset import LabelledFrame
from asteroid.training.predict import predict
from asteroid.training.session import Session

ENERGY_ONLY_RATE = 0.2
"""Part of the fine-tuning's learning rate where accurate labels lack forces: energies hold a force field by one number
a frame, and large steps fit them at its expense. From GFN2 to CCSD(T) of formaldehyde, 120 energies leave a force error
of 23 and 31 meV/Å (two seeds) instead of 42 and 39, and 26 energies 42 and 30 instead of 75 and 42; 112 energies with
8 labels that have forces 23 instead of 89."""


@dataclass(frozen=True)
class Problem:
    """What a recipe trains from.

    Args:
        accurate_train, accurate_valid: accurate labels to learn from, and those held out to stop and to choose by.
        cheap: cheap labels; those of the held-out configurations are not among them.
        teacher: the model trained on accurate labels alone, for recipes that need one.
    """

    accurate_train: Sequence[LabelledFrame]
    accurate_valid: Sequence[LabelledFrame]
    cheap: Sequence[LabelledFrame]
    teacher: torch.nn.Module | None
    settings: TrainingSettings


@dataclass(frozen=True)
class Trained:
    """What a recipe made: a model as the session left it, and the weights of its pretraining."""

    model: torch.nn.Module
    weighting: Weighting | None = None


@dataclass(frozen=True)
class StrategyDefinition:
    """A recipe and what it needs."""

    recipe: Callable[[Problem, Session], Trained]
    needs_cheap: bool
    needs_teacher: bool
    weighs: bool = False


def scratch(problem: Problem, session: Session) -> Trained:
    """Accurate labels alone, with as many steps as pretraining and fine-tuning have together: tried as hard."""
    settings = problem.settings
    model = session.new_model(problem.accurate_train)
    session.fit(
        "scratch",
        model,
        problem.accurate_train,
        steps=settings.scratch_steps or settings.pretrain_steps + settings.finetune_steps,
        batch_size=settings.finetune_batch_size,
        learning_rate=settings.learning_rate,
        accurate=True,
    )
    return Trained(model)


def unweighted(problem: Problem, session: Session) -> Trained:
    """Pretrain on all cheap labels alike, then fine-tune on the accurate ones."""
    return Trained(_pretrain_and_finetune(problem, session, problem.cheap))


def weighted(problem: Problem, session: Session) -> Trained:
    """ASTEROID: pretrain on cheap labels, each weighted by how little it disagrees with the teacher, then fine-tune."""
    if problem.teacher is None:
        raise ValueError("the strategy weighted needs a teacher")
    cheap = [frame for frame in problem.cheap if frame.forces is not None]
    if not cheap:
        raise TrainingError("no cheap label has forces, so their bias cannot be estimated; use the strategy unweighted")
    settings = problem.settings

    def trial(index: int, values: Floats) -> float:
        result = session.fit(
            f"gamma-{index + 1}",
            session.new_model(cheap),
            with_weights(cheap, values),
            steps=max(1, round(TRIAL_STEPS * settings.pretrain_steps)),
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            accurate=False,
            keep=False,
        )
        return result.held_out.criterion

    _, teacher_forces = predict(problem.teacher, [frame.configuration for frame in cheap])
    disagreement = frame_disagreement([f.forces for f in cheap if f.forces is not None], teacher_forces)
    weighting = choose_weights(disagreement, None if settings.gamma == "auto" else settings.gamma, trial)
    model = _pretrain_and_finetune(problem, session, with_weights(cheap, weighting.values))
    return Trained(model, weighting)


def with_weights(frames: Sequence[LabelledFrame], weights: npt.NDArray[np.float64]) -> list[LabelledFrame]:
    """The same labelled frames with other weights."""
    return [dataclasses.replace(f, weight=w) for f, w in zip(frames, weights.tolist(), strict=True)]


def _pretrain_and_finetune(problem: Problem, session: Session, cheap: Sequence[LabelledFrame]) -> torch.nn.Module:
    settings = problem.settings
    model = session.new_model(cheap)
    session.fit(
        "pretrain",
        model,
        cheap,
        steps=settings.pretrain_steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        accurate=False,
    )
    with_forces = all(frame.forces is not None for frame in problem.accurate_train)
    session.fit(
        "finetune",
        model,
        problem.accurate_train,
        steps=settings.finetune_steps,
        batch_size=settings.finetune_batch_size,
        learning_rate=settings.finetune_learning_rate * (1.0 if with_forces else ENERGY_ONLY_RATE),
        accurate=True,
    )
    return model


STRATEGIES: dict[Strategy, StrategyDefinition] = {
    "scratch": StrategyDefinition(scratch, needs_cheap=False, needs_teacher=False),
    "unweighted": StrategyDefinition(unweighted, needs_cheap=True, needs_teacher=False),
    "weighted": StrategyDefinition(weighted, needs_cheap=True, needs_teacher=True, weighs=True),
}
