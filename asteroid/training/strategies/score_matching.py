"""``score-matching``: pretraining without labels on configurations of a known temperature, then fine-tuning.

MD at the cheap level samples its Boltzmann distribution, which determines the forces of the level
(:mod:`asteroid.training.objectives`). Three strategies differ in the divergence of the forces: along one random
direction per step here, exact in ``score-matching-exact``, and from noise on the positions in
``score-matching-denoising``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asteroid.strategies import CONFIGURATIONS, StrategyDefinition
from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import READS_PRETRAINED, finetuning, match_scores, pretraining

if TYPE_CHECKING:
    from asteroid.training.session import Session


def score_matching(problem: Problem, session: Session) -> Trained:
    """Score matching with the divergence along one random direction per step, nearly as cheap as labels."""
    from asteroid.training.objectives import SlicedScoreMatching

    return match_scores(problem, session, SlicedScoreMatching(problem.settings.forces_weight))


STRATEGY = StrategyDefinition(
    name="score-matching",
    how="pretrained by score matching (sliced) on {configurations} without labels",
    aid=CONFIGURATIONS,
    recipe=score_matching,
    phases=lambda settings: [pretraining(settings), finetuning(settings)],
    needs_configurations=True,
    starts_from="either",
    reads=READS_PRETRAINED,
)
