"""``member``: one member of a committee, a finished model fine-tuned on a bootstrap sample of its accurate labels.

Members agree where labels determine the forces and differ elsewhere; :mod:`asteroid.acquisition.committee` measures how
much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from asteroid.settings import TrainingSettings
from asteroid.strategies import Phase, StrategyDefinition
from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import finetuning_rate, with_weights

if TYPE_CHECKING:
    from asteroid.training.session import Session


def member(problem: Problem, session: Session) -> Trained:
    """Fine-tune the starting model, with each label weighted by its count in the bootstrap sample.

    Weights are not chosen by the held-out frames: these have already chosen the starting model, so all members would
    keep its weights.
    """
    settings = problem.settings
    labels = problem.accurate_train
    drawn = np.random.default_rng(settings.seed).multinomial(len(labels), np.full(len(labels), 1 / len(labels)))
    bootstrap = [frame for frame in with_weights(labels, drawn.astype(float)) if frame.weight > 0]
    model = session.new_model(bootstrap)
    session.fit(_training_on(settings), model, bootstrap, learning_rate=finetuning_rate(problem))
    return Trained(model)


def _training_on(settings: TrainingSettings) -> Phase:
    return Phase("member", settings.finetune_steps, settings.finetune_batch_size)


MEMBER = StrategyDefinition(
    name="member",
    how="trained on with a bootstrap of its accurate labels",
    aid="",
    recipe=member,
    phases=lambda settings: [_training_on(settings)],
    starts_from="foundation",
    reads=frozenset({"finetune_steps", "finetune_batch_size", "finetune_learning_rate"}),
)
"""Not available in manifests."""
