"""The ways to train from two sets of labels, each a short recipe over the one training loop.

Adding a strategy is a file and a line in :data:`STRATEGIES`. :mod:`asteroid.training.run` gives a recipe its
:class:`~asteroid.training.strategies.problem.Problem` and keeps what it makes.
"""

from asteroid.manifest import Strategy
from asteroid.training.strategies.problem import Problem, StrategyDefinition, Trained
from asteroid.training.strategies.scratch import scratch
from asteroid.training.strategies.unweighted import unweighted
from asteroid.training.strategies.weighted import weighted

__all__ = ["STRATEGIES", "Problem", "StrategyDefinition", "Trained"]

STRATEGIES: dict[Strategy, StrategyDefinition] = {
    "scratch": StrategyDefinition(scratch, needs_cheap=False, needs_teacher=False),
    "unweighted": StrategyDefinition(unweighted, needs_cheap=True, needs_teacher=False),
    "weighted": StrategyDefinition(weighted, needs_cheap=True, needs_teacher=True, weighs=True),
}
