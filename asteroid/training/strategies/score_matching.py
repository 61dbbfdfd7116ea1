"""Score matching: configurations of a known temperature pretrain without labels, accurate labels fine-tune.

Molecular dynamics at the cheap level visits geometries as often as its Boltzmann distribution says, and that
distribution holds the level's forces (:mod:`asteroid.training.objectives`). The recipes differ in the divergence of the
forces: whole, along one random direction a step, or from noise added to the positions.
"""

from asteroid.training.objectives import (
    DenoisingScoreMatching,
    ExactScoreMatching,
    Objective,
    SlicedScoreMatching,
)
from asteroid.training.session import Session
from asteroid.training.strategies.problem import Problem, Trained
from asteroid.training.strategies.steps import finetune

WIDTH = 0.002
"""Å, σ of the denoising noise. It softens an oscillator by σ²/(σ² + k_B T/k): the stiffest bonds, of 110 eV/Å², by
2 % at 300 K; and single precision still tells the forces at both ends of 0.004 Å apart."""


def score_matching(problem: Problem, session: Session) -> Trained:
    """The divergence along one random direction a step: nearly as cheap as labels, and the default."""
    return _pretrain_and_finetune(problem, session, SlicedScoreMatching(problem.settings.forces_weight))


def score_matching_exact(problem: Problem, session: Session) -> Trained:
    """The whole divergence: 3N second derivatives a step, which only the smallest molecules are worth."""
    atoms = max(len(frame.configuration.numbers) for frame in problem.configurations)
    return _pretrain_and_finetune(problem, session, ExactScoreMatching(problem.settings.forces_weight, atoms))


def score_matching_denoising(problem: Problem, session: Session) -> Trained:
    """The divergence from forces at positions with added noise."""
    return _pretrain_and_finetune(problem, session, DenoisingScoreMatching(problem.settings.forces_weight, WIDTH))


def _pretrain_and_finetune(problem: Problem, session: Session, objective: Objective) -> Trained:
    settings = problem.settings
    # Its scale is the root mean square of the accurate forces: no others are known.
    model = session.new_model(problem.accurate_train)
    session.fit(
        "pretrain",
        model,
        problem.configurations,
        steps=settings.pretrain_steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        accurate=False,
        objective=objective,
    )
    finetune(problem, session, model)
    return Trained(model)
