"""How much the cheap label of a frame can be trusted, and the weight it gets for that.

Bukharin et al., ICML 2023, arXiv 2306.03109: the teacher, trained on accurate labels alone, estimates the bias of each
cheap frame, ``e_i = mean |F_cheap − F_teacher|``, and the frame is trained on with the weight ``w_i = exp(−e_i/γ)``.
Where a bias sits on a few atoms of each frame, the same formula can weigh atom by atom instead.
:mod:`asteroid.training.strategies` pretrains with these weights.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

QUANTILES = (0.1, 0.4, 0.8)
"""Of the disagreement in excess of the smallest: the candidates for γ, from a sharp choice of frames to a mild one."""

TRIAL_STEPS = 0.1
"""Steps of one γ trial, as a part of those of the pretraining: four candidates cost 40% of it."""


def frame_disagreement(cheap_forces: Sequence[Floats], teacher_forces: Sequence[Floats]) -> Floats:
    """e_i: mean over the 3N components of |F_cheap − F_teacher|, eV/Å; both are (N, 3) for each frame.

    >>> frame_disagreement([np.zeros((2, 3))], [np.full((2, 3), -0.5)])
    array([0.5])
    """
    return np.array([np.abs(c - t).mean() for c, t in zip(cheap_forces, teacher_forces, strict=True)])


def atom_disagreement(cheap_forces: Sequence[Floats], teacher_forces: Sequence[Floats]) -> list[Floats]:
    """e_ij: mean over the 3 components of |F_cheap − F_teacher| of each atom j of frame i, (N,) eV/Å for each frame.

    >>> atom_disagreement([np.zeros((2, 3))], [np.array([[0.3, 0.0, 0.0], [0.0, 0.0, 0.0]])])
    [array([0.1, 0. ])]
    """
    return [np.abs(c - t).mean(axis=1) for c, t in zip(cheap_forces, teacher_forces, strict=True)]


def bias_weights(disagreement: Floats, gamma: float) -> Floats:
    """w_i = exp(−e_i/γ) of frames or atoms, scaled to mean 1; an infinite γ weighs all alike.

    >>> bias_weights(np.array([0.0, 0.1]), gamma=math.inf)
    array([1., 1.])
    """
    # The factor that is taken out cancels in the mean, and without it a small gamma gives 0/0.
    weights = np.exp(-(disagreement - disagreement.min()) / gamma)
    return np.asarray(weights / weights.mean())


def split_weights(weights: Floats, sizes: Sequence[int]) -> tuple[Floats, list[Floats]]:
    """Weights of all atoms as those of the frames, each the mean of its atoms', and relative ones within each frame.

    Their product is the atom's weight; the energy of a frame, which has no atom, has the frame's weight.

    Args:
        weights: of all atoms, frame after frame.
        sizes: number of atoms of each frame.

    >>> split_weights(np.array([0.5, 1.5, 0.0, 2.0]), [2, 2])
    (array([1., 1.]), [array([0.5, 1.5]), array([0., 2.])])
    """
    parts = np.split(weights, np.cumsum(sizes)[:-1])
    frames = np.array([part.mean() for part in parts])
    # A frame whose atoms all have no weight has none either, whatever its atoms' shares.
    return frames, [p / w if w > 0 else np.ones_like(p) for p, w in zip(parts, frames, strict=True)]


def effective_sample_size(weights: Floats) -> float:
    """(Σw)²/Σw²: how many frames of equal weight would average as well (Kish)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def gamma_candidates(disagreement: Floats) -> list[float]:
    """Values of γ worth trying, eV/Å, rising, with no weighting at all (infinity) as the last.

    Only differences of e matter once the weights are scaled to mean 1: the candidates are :data:`QUANTILES` of
    e − min(e).
    """
    excess = np.quantile(disagreement - disagreement.min(), QUANTILES)
    return [*sorted({float(gamma) for gamma in excess if gamma > 0}), math.inf]


@dataclass(frozen=True)
class Weighting:
    """The weights of a pretraining and how they were chosen.

    Args:
        gamma: eV/Å, infinite when no weighting did best.
        candidates: each γ tried with the held-out error of its trial (forces in eV/Å; energies in eV/atom where no
            held-out frame has forces); empty when γ was given.
        disagreement: e_i of each cheap frame (or atom), eV/Å.
        values: w_i of each cheap frame (or atom).
    """

    gamma: float
    candidates: list[tuple[float, float]]
    disagreement: Floats
    values: Floats


def choose_weights(
    disagreement: Floats, gamma: float | None, trial: Callable[[int, Floats], float] | None = None
) -> Weighting:
    """Weights for a given γ, or, when it is None, for the candidate whose trial has the lowest held-out error.

    Candidates that do equally well, as all do where there is only one held-out energy, leave the mildest.

    Args:
        trial: pretrains shortly with the weights of a candidate (its index comes first) and returns the error.
    """
    scores: list[tuple[float, float]] = []
    if gamma is None:
        if trial is None:
            raise ValueError("without a gamma, a trial must say which is best")
        candidates = gamma_candidates(disagreement)
        scores = [(g, trial(i, bias_weights(disagreement, g))) for i, g in enumerate(candidates)]
        gamma = min(reversed(scores), key=lambda score: score[1])[0]
    return Weighting(gamma, scores, disagreement, bias_weights(disagreement, gamma))
