"""``foundation``: a given MACE model, fine-tuned on accurate labels alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asteroid.strategies import StrategyDefinition
from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import READS_FINETUNED, finetune, finetuning

if TYPE_CHECKING:
    from asteroid.training.session import Session


def foundation(problem: Problem, session: Session) -> Trained:
    """Fine-tune the given model, with as many steps as ``scratch``."""
    model = session.new_model(problem.accurate_train)
    finetune(problem, session, model, steps=problem.settings.steps_alone)
    return Trained(model)


STRATEGY = StrategyDefinition(
    name="foundation",
    how="fine-tuned from a model that the user gave",
    aid="the model that it starts from",
    recipe=foundation,
    phases=lambda settings: [finetuning(settings, steps=settings.steps_alone)],
    starts_from="foundation",
    reads=READS_FINETUNED | {"steps_alone"},
)
