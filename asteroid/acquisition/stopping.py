"""Whether to run another round, from target, budget and learning curve.

Called by :mod:`asteroid.stages.rounds`, which records the :class:`Decision` and shows its reason.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.settings import AcquisitionSettings
from asteroid.store.round_records import Decision

ENOUGH_ROUNDS = 3
"""Smallest number of rounds for a learning curve: any two points lie on a power law."""


@dataclass(frozen=True, kw_only=True)
class RoundSummary:
    """Round summary.

    Args:
        labels: accurate labels of its model, held-out ones and those of earlier rounds included; where rounds request
            labels at several levels, the number of accurate labels of the same cost.
        force_mae: eV/Å, on held-out accurate frames.
        low, high: eV/Å, 95% interval of ``force_mae``.
        core_seconds: cost of this round alone: labels, training and exploration.
    """

    labels: float
    force_mae: float
    low: float
    high: float
    core_seconds: float


@dataclass(frozen=True)
class LearningCurve:
    """error = factor · labels^(−exponent).

    Args:
        factor: eV/Å.
        exponent: not negative, so that the error never rises with the number of labels.
    """

    factor: float
    exponent: float

    def error(self, labels: float) -> float:
        """Expected error, eV/Å, with this number of labels."""
        return float(self.factor * labels**-self.exponent)

    def gain(self, labels: float, further: float) -> float:
        """Relative fall of the error expected from further labels."""
        return 1 - self.error(labels + further) / self.error(labels)


def fit_curve(labels: Sequence[float], errors: Sequence[float]) -> LearningCurve:
    """Power law of the errors of several rounds, by least squares of the logarithms.

    Raises:
        ValueError: for fewer than two different numbers of labels.

    >>> curve = fit_curve([25, 100, 400], [0.08, 0.04, 0.02])
    >>> round(curve.exponent, 6), round(curve.error(1600), 6)
    (0.5, 0.01)
    """
    if len(set(labels)) < 2:
        raise ValueError(f"a learning curve needs two different numbers of labels; found {sorted(set(labels))}")
    x, y = np.log(np.asarray(labels, dtype=float)), np.log(np.asarray(errors, dtype=float))
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / np.square(x - x.mean()).sum())
    exponent = max(0.0, -slope)
    return LearningCurve(math.exp(float(y.mean()) + exponent * float(x.mean())), exponent)


def mean_interval(errors: npt.ArrayLike) -> tuple[float, float, float]:
    """Mean and Student's 95% interval of the errors of independent frames: (mean, low, high); low is not negative.

    For a single frame the upper end is infinite.

    >>> [round(value, 4) for value in mean_interval([0.01, 0.02, 0.03])]
    [0.02, 0.0, 0.0448]
    """
    from scipy.stats import t

    values = np.asarray(errors, dtype=float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, 0.0, math.inf
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return mean, max(0.0, mean - half), mean + half


def decide(rounds: Sequence[RoundSummary], settings: AcquisitionSettings, *, spent_labels: str = "") -> Decision:
    """Whether to stop after these rounds.

    Args:
        rounds: all rounds so far, in order.
        settings: target, least gain, most rounds, core-hours and the size of a batch.
        spent_labels: the budget of labels in words, if it is spent.

    Raises:
        ValueError: without rounds.
    """
    if not rounds:
        raise ValueError("a decision needs a round")
    last = rounds[-1]
    gain = expected_gain(rounds, batch=settings.batch)
    spent = sum(one.core_seconds for one in rounds) / 3600
    error = f"{1000 * last.force_mae:.3g} meV/Å"
    if settings.target is not None and last.high <= settings.target:
        return Decision(
            True,
            f"the target is met: the held-out force error is {error}, with 95 % confidence at most "
            f"{1000 * last.high:.3g} of the {1000 * settings.target:.3g} meV/Å that were asked for",
            gain,
        )
    if spent_labels:
        return Decision(True, f"the budget of {spent_labels} is spent, at {error}", gain)
    if settings.core_hours is not None and spent >= settings.core_hours:
        return Decision(
            True, f"the budget of {settings.core_hours:g} core-hours is spent ({spent:.3g}), at {error}", gain
        )
    if len(rounds) >= settings.rounds:
        return Decision(True, f"all {settings.rounds} rounds are done, at {error}", gain)
    if gain is None:
        told = "1 round does" if len(rounds) == 1 else f"{len(rounds)} rounds do"
        return Decision(False, f"the error is {error}; {told} not yet tell what more labels gain")
    promise = f"the next core-hour is expected to take {100 * gain:.3g} % off the error of {error}"
    if last.core_seconds > 3600:
        promise = promise.replace("core-hour", f"round of {last.core_seconds / 3600:.3g} core-hours")
    if gain < settings.least_gain:
        return Decision(True, f"{promise}, less than the {100 * settings.least_gain:.3g} % that are asked for", gain)
    return Decision(False, promise, gain)


def expected_gain(rounds: Sequence[RoundSummary], *, batch: int) -> float | None:
    """Relative fall of the error expected from the next core-hour, by the learning curve so far.

    From the next round, if that costs more than one core-hour. The cost per label is that of the last round, training
    and exploration included.

    Args:
        batch: labels of a round.

    Returns:
        None before :data:`ENOUGH_ROUNDS`.
    """
    labels = [one.labels for one in rounds]
    if len(rounds) < ENOUGH_ROUNDS or len(set(labels)) < 2:
        return None
    last = rounds[-1]
    of_last = max(1, last.labels - rounds[-2].labels)
    further = max(float(batch), of_last * 3600 / max(last.core_seconds, 1e-9))
    return fit_curve(labels, [one.force_mae for one in rounds]).gain(last.labels, further)
