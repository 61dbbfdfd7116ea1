"""Number of accurate labels with which ``scratch`` would reach the error of a model.

A power law is fitted to the errors of ``scratch`` models with different numbers of labels, on the same frames.
:mod:`asteroid.stages.curve` trains these models; the report shows the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.validation.errors import Errors, absolute_errors
from asteroid.validation.intervals import Estimate

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap samples: the ends of a 95% interval then move by about 1% of their value from seed to seed."""
REACH = 10.0
"""Largest factor of extrapolation beyond the measured numbers of labels: a power law of few points holds no further."""


@dataclass(frozen=True)
class Worth:
    """Number of accurate labels that ``scratch`` needs for the error of the finished model.

    Args:
        labels: None beyond the largest extrapolation.
        low, high: 95% bootstrap interval over test frames, not over trainings; None beyond the largest extrapolation.
        exponent: b in error ∝ labels^(−b).
        measured: whether the number is interpolated.
    """

    labels: float | None
    low: float | None
    high: float | None
    exponent: float
    measured: bool


@dataclass(frozen=True)
class CurvePoint:
    """Errors of a ``scratch`` model on the certificate's test frames.

    Args:
        labels: number of accurate labels, held-out ones included.
        force_mae: eV/Å; None if no label has forces.
        energy_mae: eV/atom.
    """

    labels: int
    model_id: str
    force_mae: Estimate | None
    energy_mae: Estimate


@dataclass(frozen=True)
class LearningCurve:
    """Learning curve of ``scratch``.

    Args:
        points: in order of their numbers of labels.
        worth: None with fewer than two points.
    """

    points: tuple[CurvePoint, ...] = ()
    worth: Worth | None = None


def labels_needed(model: Errors, scratch: Mapping[int, Errors], *, seed: int = 0) -> Worth | None:
    """Number of accurate labels with which ``scratch`` reaches the error of a model; None for fewer than two models.

    Args:
        model: errors of the finished model.
        scratch: errors of scratch models, by their numbers of accurate labels, held-out ones included.
        seed: of the bootstrap.

    Raises:
        ValueError: unless all were measured on the same frames.
    """
    if any(errors.frame_ids != model.frame_ids for errors in scratch.values()):
        raise ValueError("a learning curve needs all models measured on the same frames in the same order")
    if len(scratch) < 2:
        return None
    counts = np.array(sorted(scratch), dtype=float)
    ours = absolute_errors(model)
    theirs = np.array([absolute_errors(scratch[int(count)]) for count in counts])
    everything = np.arange(len(ours))[None]
    picks = np.random.default_rng(seed).integers(0, len(ours), size=(RESAMPLES, len(ours)))
    labels, exponents = _needed(ours, theirs, counts, everything)
    low, high = np.percentile(_needed(ours, theirs, counts, picks)[0], [2.5, 97.5], method="nearest")
    sums = theirs.sum(axis=1)
    return Worth(
        labels=_within(labels[0], counts),
        low=_within(low, counts),
        high=_within(high, counts),
        exponent=float(exponents[0]),
        measured=bool(sums.min() <= ours.sum() <= sums.max()),
    )


def _needed(ours: Floats, theirs: Floats, counts: Floats, picks: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Number of labels and exponent for each row of picks; if the error does not fall with labels, infinite or 0."""
    tiny = np.finfo(np.float64).tiny
    target = np.log(np.maximum(ours[picks].sum(axis=1), tiny))
    errors = np.log(np.maximum(theirs[:, picks].sum(axis=2), tiny))
    x = np.log(counts) - np.log(counts).mean()
    exponents = -(x[:, None] * errors).sum(axis=0) / np.square(x).sum()
    gain = errors.mean(axis=0) - target
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        rising = np.where(gain > 0, np.inf, 0.0)
        labels = np.where(exponents > 0, np.exp(gain / exponents + np.log(counts).mean()), rising)
    return labels, exponents


def _within(labels: float, counts: Floats) -> float | None:
    return float(labels) if counts.min() / REACH <= labels <= counts.max() * REACH else None
