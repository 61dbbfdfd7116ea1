"""``multihead``: MACE's multihead training, with one readout for each level.

The accurate head is the first: its held-out errors are measured, and
:meth:`~asteroid.training.session.Session.finish` extracts it as the finished model.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from asteroid.settings import TrainingSettings
from asteroid.strategies import CHEAP_LABELS, Phase, StrategyDefinition
from asteroid.training.problem import Problem, Trained

if TYPE_CHECKING:
    from asteroid.training.session import Session

ACCURATE, CHEAP = 0, 1
"""Indices of the heads."""

ACCURATE_SHARE = 0.5
"""Fraction of accurate labels in an epoch; they are repeated to reach it."""


def multihead(problem: Problem, session: Session) -> Trained:
    """Train on the labels of both levels, with as many steps as pretraining plus fine-tuning."""
    settings = problem.settings
    accurate = [dataclasses.replace(frame, head=ACCURATE) for frame in problem.accurate_train]
    if all(frame.forces is None for frame in accurate):
        # Without forces, accurate energies get the weight of the forces, as in Session.fit.
        weight = max(1.0, settings.forces_weight / settings.energy_weight)
        accurate = [dataclasses.replace(frame, weight=weight) for frame in accurate]
    cheap = [dataclasses.replace(frame, head=CHEAP) for frame in problem.cheap]
    model = session.new_model([*accurate, *cheap])
    copies = math.ceil(len(cheap) / len(accurate) * ACCURATE_SHARE / (1 - ACCURATE_SHARE))
    session.fit(_together(settings), model, [*accurate * copies, *cheap], learning_rate=settings.learning_rate)
    return Trained(model)


def _together(settings: TrainingSettings) -> Phase:
    return Phase("multihead", settings.steps_together, settings.batch_size, accurate=True)


STRATEGY = StrategyDefinition(
    name="multihead",
    how="trained on {labels} of {cheap} at the same time, with a readout of their own",
    aid=CHEAP_LABELS,
    recipe=multihead,
    phases=lambda settings: [_together(settings)],
    needs_cheap=True,
    heads=2,
    reads=frozenset({"steps_together", "batch_size", "learning_rate"}),
)
