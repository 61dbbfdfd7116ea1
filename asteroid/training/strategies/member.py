"""``member``: a finished model, trained on with a bootstrap of its accurate labels: one opinion of a committee.

Where labels hold the forces, all members agree; elsewhere each goes its own way, and how far they part is what
:mod:`asteroid.acquisition.committee` measures.
"""

import numpy as np

from asteroid.training.session import Session
from asteroid.training.strategies.problem import Problem, Trained
from asteroid.training.strategies.steps import finetuning_rate, with_weights


def member(problem: Problem, session: Session) -> Trained:
    """Train the model that is started from on, each label counting as often as a draw of the seed has it.

    The held-out frames do not choose the weights: the model that they have chosen already is where all members start,
    and to choose would be to stay there, in perfect agreement.
    """
    settings = problem.settings
    labels = problem.accurate_train
    drawn = np.random.default_rng(settings.seed).multinomial(len(labels), np.full(len(labels), 1 / len(labels)))
    bootstrap = [frame for frame in with_weights(labels, drawn.astype(float)) if frame.weight > 0]
    model = session.new_model(bootstrap)
    session.fit(
        "member",
        model,
        bootstrap,
        steps=settings.finetune_steps,
        batch_size=settings.finetune_batch_size,
        learning_rate=finetuning_rate(problem),
        accurate=False,
    )
    return Trained(model)
