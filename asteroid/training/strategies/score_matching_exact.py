"""``score-matching-exact``: :mod:`~asteroid.training.strategies.score_matching` with the exact divergence."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import match_scores
from asteroid.training.strategies import score_matching

if TYPE_CHECKING:
    from asteroid.training.session import Session


def score_matching_exact(problem: Problem, session: Session) -> Trained:
    """Score matching with the exact divergence: 3N second derivatives per step, for the smallest molecules."""
    from asteroid.training.objectives import ExactScoreMatching

    atoms = max(len(frame.configuration.numbers) for frame in problem.configurations)
    return match_scores(problem, session, ExactScoreMatching(problem.settings.forces_weight, atoms))


STRATEGY = dataclasses.replace(
    score_matching.STRATEGY,
    name="score-matching-exact",
    how="pretrained by score matching (exact) on {configurations} without labels",
    recipe=score_matching_exact,
)
