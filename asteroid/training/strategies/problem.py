"""What a recipe is given and what it returns: the vocabulary of :mod:`asteroid.training.strategies`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from asteroid.manifest import TrainingSettings
from asteroid.training.bias import Weighting
from asteroid.training.dataset import LabelledFrame
from asteroid.training.session import Session


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
