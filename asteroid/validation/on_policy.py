"""Errors of a model on frames of its own MD, and the choice of these frames.

Held-out frames come from MD with the cheap level, but a model is used in its own MD. So frames are drawn at random from
its trajectories, a correlation time apart. :mod:`asteroid.stages.on_policy` labels them;
:mod:`asteroid.validation.evidence` has the threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.validation.errors import Errors

Place = tuple[int, int]
"""Index of a trajectory and index of its frame."""


@dataclass(frozen=True, eq=False)
class OnPolicy:
    """Errors of a model on frames of its own MD.

    Args:
        errors: on the labelled frames; None without any.
        temperatures: K, of each labelled frame.
        asked: number of frames to be labelled.
        failed: number of failed or rejected labels, often of wrong geometries.
    """

    errors: Errors | None
    temperatures: tuple[float, ...]
    asked: int
    failed: int


def statistical_inefficiency(series: npt.ArrayLike) -> float:
    """Number of successive values of a stationary series that count as one independent value, at least 1.

    ``g = 1 + 2 Σ (1 − t/K) C(t)`` up to where the normalised autocorrelation first becomes negative (Chodera et al.
    2007, doi:10.1021/ct0502864, eq. 22 ff.).

    Args:
        series: (K,) values at equal distances.

    >>> statistical_inefficiency([1.0, -1.0, 1.0, -1.0])
    1.0
    """
    values = np.asarray(series, dtype=np.float64)
    centred = values - values.mean()
    count, variance = len(values), float(centred @ centred) / len(values)
    if count < 3 or variance <= (1e-13 * max(1.0, float(np.abs(values).max()))) ** 2:
        return 1.0
    total = 1.0
    for lag in range(1, count - 1):
        correlation = float(centred[:-lag] @ centred[lag:]) / ((count - lag) * variance)
        if correlation <= 0:
            break
        total += 2 * correlation * (1 - lag / count)
    return max(1.0, total)


def draw_frames(energies: Sequence[npt.ArrayLike], temperatures: Sequence[float], *, seed: int) -> list[Place]:
    """Frames drawn at random from trajectories, a correlation time apart, temperatures in turn.

    All frames of a temperature are equally likely.

    Args:
        energies: potential energies (K,) eV along each trajectory, without equilibration; may be empty.
        temperatures: K, of each trajectory.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    series = [np.asarray(one, dtype=np.float64) for one in energies]
    places: dict[float, list[Place]] = {temperature: [] for temperature in temperatures}
    for temperature, found in places.items():
        own = [i for i, kelvin in enumerate(temperatures) if kelvin == temperature and len(series[i])]
        if not own:
            continue
        lengths = [len(series[i]) for i in own]
        # One stride for all: a stride for each would give too few frames from a trapped trajectory.
        mean = np.average([statistical_inefficiency(series[i]) for i in own], weights=lengths)
        stride = int(np.ceil(mean))
        for trajectory, length in zip(own, lengths, strict=True):
            # Random offset, so that trajectories shorter than the stride are included with the right probability.
            found += [(trajectory, frame) for frame in range(int(random.integers(stride)), length, stride)]
    shuffled = [[found[i] for i in random.permutation(len(found))] for found in places.values()]
    rounds = max(map(len, shuffled), default=0)
    return [found[turn] for turn in range(rounds) for found in shuffled if turn < len(found)]
