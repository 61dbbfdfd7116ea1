"""``score-matching-denoising``: :mod:`~asteroid.training.strategies.score_matching` with noise on the positions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from asteroid.training.problem import Problem, Trained
from asteroid.training.steps import match_scores
from asteroid.training.strategies import score_matching

if TYPE_CHECKING:
    from asteroid.training.session import Session

WIDTH = 0.002
"""Å, σ of the noise. It softens an oscillator by σ²/(σ² + k_B T/k): the stiffest bonds, of 110 eV/Å², by 2 % at 300 K.
In single precision, forces still differ across 0.004 Å."""


def score_matching_denoising(problem: Problem, session: Session) -> Trained:
    """Score matching with forces at noisy positions."""
    from asteroid.training.objectives import DenoisingScoreMatching

    return match_scores(problem, session, DenoisingScoreMatching(problem.settings.forces_weight, WIDTH))


STRATEGY = dataclasses.replace(
    score_matching.STRATEGY,
    name="score-matching-denoising",
    how="pretrained by score matching (denoising) on {configurations} without labels",
    recipe=score_matching_denoising,
)
