"""Steps that several recipes share."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from asteroid.training.dataset import LabelledFrame
from asteroid.training.session import Session
from asteroid.training.strategies.problem import Problem

ENERGY_ONLY_RATE = 0.2
"""Part of the fine-tuning's learning rate where accurate labels lack forces: energies hold a force field by one number
a frame, and large steps fit them at its expense. From GFN2 to CCSD(T) of formaldehyde, 120 energies leave a force error
of 23 and 31 meV/Å (two seeds) instead of 42 and 39, and 26 energies 42 and 30 instead of 75 and 42; 112 energies with
8 labels that have forces 23 instead of 89."""


def with_weights(frames: Sequence[LabelledFrame], weights: npt.NDArray[np.float64]) -> list[LabelledFrame]:
    """The same labelled frames with other weights."""
    return [dataclasses.replace(f, weight=w) for f, w in zip(frames, weights.tolist(), strict=True)]


def pretrain(
    problem: Problem, session: Session, frames: Sequence[LabelledFrame], *, accurate: bool = False
) -> torch.nn.Module:
    """A new model, trained on these frames.

    Args:
        accurate: whether their labels are of the accurate level, computed or corrected: the held-out frames choose the
            weights then.
    """
    settings = problem.settings
    model = session.new_model(frames)
    session.fit(
        "pretrain",
        model,
        frames,
        steps=settings.pretrain_steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        accurate=accurate,
    )
    return model


def finetune(problem: Problem, session: Session, model: torch.nn.Module, *, steps: int | None = None) -> None:
    """Train a model on, in place, with the accurate labels; for ``finetune_steps`` when ``steps`` are not given."""
    settings = problem.settings
    session.fit(
        "finetune",
        model,
        problem.accurate_train,
        steps=steps or settings.finetune_steps,
        batch_size=settings.finetune_batch_size,
        learning_rate=finetuning_rate(problem),
        accurate=True,
    )


def finetuning_rate(problem: Problem) -> float:
    """Learning rate for the accurate labels; see :data:`ENERGY_ONLY_RATE`."""
    with_forces = all(frame.forces is not None for frame in problem.accurate_train)
    return problem.settings.finetune_learning_rate * (1.0 if with_forces else ENERGY_ONLY_RATE)
