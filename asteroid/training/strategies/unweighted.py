"""``unweighted``: pretrain on cheap labels with equal weights, then fine-tune on the accurate ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asteroid.strategies import CHEAP_LABELS, StrategyDefinition
from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import READS_PRETRAINED, finetune, finetuning, pretrain, pretraining

if TYPE_CHECKING:
    from asteroid.training.session import Session


def unweighted(problem: Problem, session: Session) -> Trained:
    """Pretrain on cheap labels, then fine-tune on the accurate ones."""
    model = pretrain(problem, session, problem.cheap)
    finetune(problem, session, model)
    return Trained(model)


STRATEGY = StrategyDefinition(
    name="unweighted",
    how="pretrained on {labels} of {cheap}, all alike",
    aid=CHEAP_LABELS,
    recipe=unweighted,
    phases=lambda settings: [pretraining(settings), finetuning(settings)],
    needs_cheap=True,
    starts_from="either",
    reads=READS_PRETRAINED,
)
