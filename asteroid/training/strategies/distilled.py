"""``distilled``: ``corrected`` without cheap labels.

A kernel of the accurate labels alone labels the cheap configurations.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from asteroid.strategies import CONFIGURATIONS, StrategyDefinition
from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import finetune, finetuning, pretrain, pretraining
from asteroid.training.strategies.corrected import READS

if TYPE_CHECKING:
    from asteroid.training.session import Session


def distilled(problem: Problem, session: Session) -> Trained:
    """Pretrain on configurations labelled by the kernel and on the accurate labels, then fine-tune on the latter."""
    from asteroid.training.correction import describe, without_cheap

    started = time.perf_counter()
    molecules = {name: without_cheap(part) for name, part in problem.by_molecule().items()}
    labels = [frame for molecule in molecules.values() for frame in molecule.labels().frames]
    seconds = time.perf_counter() - started
    model = pretrain(problem, session, labels, accurate=True)
    finetune(problem, session, model)
    return Trained(model, correction=replace(describe(molecules, list(molecules)), seconds=seconds))


STRATEGY = StrategyDefinition(
    name="distilled",
    how="pretrained on {configurations}, labelled by a kernel of the accurate labels",
    aid=CONFIGURATIONS,
    recipe=distilled,
    phases=lambda settings: [pretraining(settings, accurate=True), finetuning(settings)],
    kernels=lambda settings: 1,
    needs_cheap=True,
    reads=READS,
)
