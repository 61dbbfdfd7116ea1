"""``multihead``: MACE's own way with two levels. One body learns from both labels at once, each has its own readout.

The accurate head is the model's first: the held-out frames judge it, and it is what
:meth:`~asteroid.training.session.Session.finish` takes out as the finished model.
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
"""Heads."""

ACCURATE_SHARE = 0.5
"""Part of the frames of an epoch that have accurate labels: the few are repeated until they are as many."""


def multihead(problem: Problem, session: Session) -> Trained:
    """One training on the labels of both levels, with as many steps as pretraining and fine-tuning have together."""
    settings = problem.settings
    accurate = [dataclasses.replace(frame, head=ACCURATE) for frame in problem.accurate_train]
    if all(frame.forces is None for frame in accurate):
        # As everywhere, energies alone take over the weight of the forces; here those of the cheap level go on.
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
