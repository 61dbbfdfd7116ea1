"""Bias of cheap labels, estimated by a teacher, and weights from it.

Bukharin et al., ICML 2023, arXiv 2306.03109: a teacher trained on accurate labels alone estimates the bias of each
cheap frame, ``e_i = mean |F_cheap − F_teacher|``, and the frame has the weight ``w_i = exp(−e_i/γ)`` in pretraining.
Where the bias is on a few atoms of each frame, the same formula can weight atoms instead.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

QUANTILES = (0.1, 0.4, 0.8)
"""Quantiles of the disagreement above the smallest, as candidates for γ, from strong to weak weighting."""

TRIAL_STEPS = 0.1
"""Steps of one trial of γ, as a fraction of the pretraining: four candidates cost 40 % of it."""


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
    """w_i = exp(−e_i/γ) of frames or atoms, scaled to mean 1; an infinite γ gives equal weights.

    >>> bias_weights(np.array([0.0, 0.1]), gamma=math.inf)
    array([1., 1.])
    """
    # Subtracting the minimum cancels in the mean, and avoids 0/0 for a small gamma.
    weights = np.exp(-(disagreement - disagreement.min()) / gamma)
    return np.asarray(weights / weights.mean())


def split_weights(weights: Floats, sizes: Sequence[int]) -> tuple[Floats, list[Floats]]:
    """Split weights of atoms into weights of frames (means over their atoms) and relative weights within each frame.

    Their product is the weight of the atom; the energy of a frame has the weight of the frame.

    Args:
        weights: of all atoms, frame after frame.
        sizes: number of atoms of each frame.

    >>> split_weights(np.array([0.5, 1.5, 0.0, 2.0]), [2, 2])
    (array([1., 1.]), [array([0.5, 1.5]), array([0., 2.])])
    """
    parts = np.split(weights, np.cumsum(sizes)[:-1])
    frames = np.array([part.mean() for part in parts])
    # A frame whose atoms all have zero weight has zero weight; its relative weights do not matter.
    return frames, [p / w if w > 0 else np.ones_like(p) for p, w in zip(parts, frames, strict=True)]


def effective_sample_size(weights: Floats) -> float:
    """(Σw)²/Σw²: the number of equally weighted frames with the same variance of the mean (Kish)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def gamma_candidates(disagreement: Floats) -> list[float]:
    """Candidates for γ, eV/Å, ascending; the last is infinity, without weighting.

    Only differences of e matter, as weights are scaled to mean 1: the candidates are :data:`QUANTILES` of e − min(e).
    """
    excess = np.quantile(disagreement - disagreement.min(), QUANTILES)
    return [*sorted({float(gamma) for gamma in excess if gamma > 0}), math.inf]


@dataclass(frozen=True)
class Weighting:
    """Weights of a pretraining, and the trials of γ.

    Args:
        gamma: eV/Å; infinite when no weighting was best.
        candidates: each γ with the held-out error of its trial (forces in eV/Å; energies in eV/atom where no held-out
            frame has forces); empty when γ was given.
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
    """Weights for a given γ, or with None for the candidate with the lowest held-out error.

    Of equally good candidates, as with only one held-out energy, the largest γ is chosen.

    Args:
        trial: function of index and weights of a candidate that runs a short pretraining and returns the error.
    """
    scores: list[tuple[float, float]] = []
    if gamma is None:
        if trial is None:
            raise ValueError("without a gamma, a trial is needed to choose one")
        candidates = gamma_candidates(disagreement)
        scores = [(g, trial(i, bias_weights(disagreement, g))) for i, g in enumerate(candidates)]
        gamma = min(reversed(scores), key=lambda score: score[1])[0]
    return Weighting(gamma, scores, disagreement, bias_weights(disagreement, gamma))
