"""``scratch``: accurate labels alone; the baseline of all strategies and the teacher of ``weighted``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asteroid.strategies import StrategyDefinition
from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import READS_ALONE, alone

if TYPE_CHECKING:
    from asteroid.training.session import Session


def scratch(problem: Problem, session: Session) -> Trained:
    """Train on accurate labels alone, with as many steps as pretraining plus fine-tuning."""
    settings = problem.settings
    model = session.new_model(problem.accurate_train)
    session.fit(alone(settings), model, problem.accurate_train, learning_rate=settings.learning_rate)
    return Trained(model)


STRATEGY = StrategyDefinition(
    name="scratch",
    how="trained on accurate labels alone",
    aid="",
    recipe=scratch,
    phases=lambda settings: [alone(settings)],
    reads=READS_ALONE,
)
