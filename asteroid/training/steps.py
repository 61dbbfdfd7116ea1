"""Phases that strategies share, the settings that they read, and functions that run them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asteroid.settings import TrainingSettings
from asteroid.strategies import Phase
from asteroid.training.problem import Problem, Trained

if TYPE_CHECKING:
    import torch

    from asteroid.training.dataset import LabelledFrame
    from asteroid.training.objectives import Objective
    from asteroid.training.session import Session

READS_ALONE = frozenset({"steps_alone", "finetune_batch_size", "learning_rate"})
"""Settings of a training on accurate labels alone, from random weights."""

READS_FINETUNED = frozenset({"foundation", "finetune_batch_size", "finetune_learning_rate"})
"""Settings of fine-tuning on the accurate labels."""

READS_PRETRAINED = READS_FINETUNED | {"pretrain_steps", "finetune_steps", "batch_size", "learning_rate"}

ENERGY_ONLY_RATE = 0.2
"""Factor on the learning rate of fine-tuning where accurate labels lack forces: large steps fit the few energies at the
expense of the forces. From GFN2 to CCSD(T) of formaldehyde, the force error is 23 and 31 meV/Å (two seeds) instead of
42 and 39 with 120 energies, 42 and 30 instead of 75 and 42 with 26 energies, and 23 instead of 89 with 112 energies and
8 labels with forces."""


RESTART_RATE = 0.5
"""Factor on the learning rate of each warm restart."""


def alone(settings: TrainingSettings) -> Phase:
    """Training on accurate labels alone, from random weights."""
    return Phase("scratch", settings.steps_alone, settings.finetune_batch_size, accurate=True)


def correcting(settings: TrainingSettings) -> Phase:
    """Training of the network that is blended with the kernel of a correction."""
    return Phase("correction", settings.correction_steps, settings.finetune_batch_size, accurate=True, optional=True)


def pretraining(settings: TrainingSettings, *, accurate: bool = False) -> Phase:
    """Training on many labels; ``accurate`` if they are corrected to the accurate level."""
    return Phase("pretrain", settings.pretrain_steps, settings.batch_size, accurate=accurate)


def restarts(settings: TrainingSettings) -> list[Phase]:
    """Warm restarts of a pretraining on corrected labels (Loshchilov and Hutter, arXiv 1608.03983)."""
    first = pretraining(settings, accurate=True)
    names = [f"{first.name}-{number + 2}" for number in range(settings.warm_restarts)]
    return [dataclasses.replace(first, name=name, optional=True) for name in names]


def finetuning(settings: TrainingSettings, *, steps: int | None = None) -> Phase:
    """Training on the accurate labels, for ``steps`` or by default ``finetune_steps``."""
    return Phase("finetune", steps or settings.finetune_steps, settings.finetune_batch_size, accurate=True)


def with_weights(frames: Sequence[LabelledFrame], weights: npt.NDArray[np.float64]) -> list[LabelledFrame]:
    """The labelled frames with new weights."""
    return [dataclasses.replace(f, weight=w) for f, w in zip(frames, weights.tolist(), strict=True)]


def pretrain(
    problem: Problem, session: Session, frames: Sequence[LabelledFrame], *, accurate: bool = False
) -> torch.nn.Module:
    """A new model, trained on these frames; see :func:`pretraining`."""
    settings = problem.settings
    model = session.new_model(frames)
    session.fit(pretraining(settings, accurate=accurate), model, frames, learning_rate=settings.learning_rate)
    return model


def restart(
    problem: Problem, session: Session, model: torch.nn.Module, frames: Sequence[LabelledFrame], *, above: float
) -> None:
    """Pretrain a model further, in place, while its held-out force error is above a limit; see :func:`restarts`.

    Args:
        above: eV/Å.
    """
    rate = problem.settings.learning_rate
    error = session.results[pretraining(problem.settings).name].held_out.force_mae
    for phase in restarts(problem.settings):
        if error is None or error <= above:
            return
        rate *= RESTART_RATE
        error = session.fit(phase, model, frames, learning_rate=rate).held_out.force_mae


def finetune(problem: Problem, session: Session, model: torch.nn.Module, *, steps: int | None = None) -> None:
    """Fine-tune a model in place on the accurate labels; see :func:`finetuning`."""
    phase = finetuning(problem.settings, steps=steps)
    session.fit(phase, model, problem.accurate_train, learning_rate=finetuning_rate(problem))


def finetuning_rate(problem: Problem) -> float:
    """Learning rate for the accurate labels; see :data:`ENERGY_ONLY_RATE`."""
    with_forces = all(frame.forces is not None for frame in problem.accurate_train)
    return problem.settings.finetune_learning_rate * (1.0 if with_forces else ENERGY_ONLY_RATE)


def match_scores(problem: Problem, session: Session, objective: Objective) -> Trained:
    """Pretrain by score matching on configurations without labels, then fine-tune on the accurate labels."""
    settings = problem.settings
    # The scale of the model is the root mean square of the accurate forces.
    model = session.new_model(problem.accurate_train)
    session.fit(
        pretraining(settings),
        model,
        problem.configurations,
        learning_rate=settings.learning_rate,
        objective=objective,
    )
    finetune(problem, session, model)
    return Trained(model)
