"""``score-matching``: configurations of a known temperature pretrain without labels, accurate labels fine-tune.

Molecular dynamics at the cheap level visits geometries as often as its Boltzmann distribution says, and that
distribution holds the level's forces (:mod:`asteroid.training.objectives`). The three strategies differ in the
divergence of the forces: along one random direction a step here, whole in ``score-matching-exact``, or from noise added
to the positions in ``score-matching-denoising``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asteroid.strategies import CONFIGURATIONS, StrategyDefinition
from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import READS_PRETRAINED, finetuning, match_scores, pretraining

if TYPE_CHECKING:
    from asteroid.training.session import Session


def score_matching(problem: Problem, session: Session) -> Trained:
    """The divergence along one random direction a step: nearly as cheap as labels, and the default."""
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
