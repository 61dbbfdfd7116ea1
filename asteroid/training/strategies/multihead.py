"""``multihead``: MACE's own way with two levels. One body learns from both labels at once, each has its own readout.

The accurate head is the model's first: the held-out frames judge it, and it is what
:meth:`~asteroid.training.session.Session.finish` takes out as the finished model.
"""

import dataclasses
import math

from asteroid.training.session import Session
from asteroid.training.strategies.problem import Problem, Trained

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
    session.fit(
        "multihead",
        model,
        [*accurate * copies, *cheap],
        steps=settings.steps_together,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        accurate=True,
    )
    return Trained(model)
