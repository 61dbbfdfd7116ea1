"""The ways to train from two sets of labels, each a short recipe over the one training loop.

Adding a strategy is a file and a line in :data:`STRATEGIES`. :mod:`asteroid.training.run` gives a recipe its
:class:`~asteroid.training.strategies.problem.Problem` and keeps what it makes.
"""

from asteroid.manifest import Strategy
from asteroid.training.strategies.corrected import corrected, distilled
from asteroid.training.strategies.foundation import foundation
from asteroid.training.strategies.member import member
from asteroid.training.strategies.multihead import multihead
from asteroid.training.strategies.problem import Problem, StrategyDefinition, Trained
from asteroid.training.strategies.score_matching import (
    score_matching,
    score_matching_denoising,
    score_matching_exact,
)
from asteroid.training.strategies.scratch import scratch
from asteroid.training.strategies.unweighted import unweighted
from asteroid.training.strategies.weighted import weighted

__all__ = ["MEMBER", "STRATEGIES", "Problem", "StrategyDefinition", "Trained"]

_ALONE = frozenset({"steps_alone", "finetune_batch_size", "learning_rate"})
"""Settings of a training on few labels from random weights."""

_TUNED = frozenset({"foundation", "finetune_batch_size", "finetune_learning_rate"})
"""Settings of a training that ends with the accurate labels."""

_PRETRAINED = _TUNED | {"pretrain_steps", "finetune_steps", "batch_size", "learning_rate"}

_LABELLED = _PRETRAINED - {"foundation"}

STRATEGIES: dict[Strategy, StrategyDefinition] = {
    "scratch": StrategyDefinition(scratch, reads=_ALONE),
    "unweighted": StrategyDefinition(unweighted, needs_cheap=True, starts_from="either", reads=_PRETRAINED),
    # What it learns from is all that sets it apart from scratch.
    "delta": StrategyDefinition(scratch, needs_paired=True, learns_difference=True, reads=_ALONE),
    "multihead": StrategyDefinition(
        multihead, needs_cheap=True, reads=frozenset({"steps_together", "batch_size", "learning_rate"})
    ),
    "foundation": StrategyDefinition(foundation, starts_from="foundation", reads=_TUNED | {"steps_alone"}),
    "weighted": StrategyDefinition(
        weighted,
        needs_cheap=True,
        needs_teacher=True,
        starts_from="either",
        reads=_PRETRAINED | {"gamma", "weights", "teachers"},
    ),
    "corrected": StrategyDefinition(
        corrected, needs_cheap=True, needs_paired=True, reads=_LABELLED | {"ladder", "correction_steps"}
    ),
    "distilled": StrategyDefinition(distilled, needs_cheap=True, reads=_LABELLED),
    "score-matching": StrategyDefinition(
        score_matching, needs_configurations=True, starts_from="either", reads=_PRETRAINED
    ),
    "score-matching-exact": StrategyDefinition(
        score_matching_exact, needs_configurations=True, starts_from="either", reads=_PRETRAINED
    ),
    "score-matching-denoising": StrategyDefinition(
        score_matching_denoising, needs_configurations=True, starts_from="either", reads=_PRETRAINED
    ),
}

MEMBER = StrategyDefinition(
    member,
    starts_from="foundation",
    reads=frozenset({"finetune_steps", "finetune_batch_size", "finetune_learning_rate"}),
)
"""Of a committee that shares a model: not a strategy that a manifest may ask for."""
