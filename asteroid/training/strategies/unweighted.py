"""``unweighted``: pretrain on all cheap labels alike, then fine-tune on the accurate ones."""

from asteroid.training.session import Session
from asteroid.training.strategies.problem import Problem, Trained
from asteroid.training.strategies.steps import finetune, pretrain


def unweighted(problem: Problem, session: Session) -> Trained:
    """Pretrain on all cheap labels alike, then fine-tune on the accurate ones."""
    model = pretrain(problem, session, problem.cheap)
    finetune(problem, session, model)
    return Trained(model)
