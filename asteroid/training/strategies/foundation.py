"""``foundation``: the user's own MACE model, fine-tuned on accurate labels alone."""

from asteroid.training.session import Session
from asteroid.training.strategies.problem import Problem, Trained
from asteroid.training.strategies.steps import finetune


def foundation(problem: Problem, session: Session) -> Trained:
    """Fine-tune the user's model, with as many steps as ``scratch``: tried as hard."""
    model = session.new_model(problem.accurate_train)
    finetune(problem, session, model, steps=problem.settings.steps_alone)
    return Trained(model)
