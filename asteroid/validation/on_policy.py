"""Which frames of a model's own MD are labelled to score it, and what they said.

Held-out frames come from where the cheap level leads; a model is used where it leads itself. So frames are drawn from
its own trajectories, far enough apart to be independent, and thinned at random: the error over them estimates that over
what its surviving trajectories visit. The stage :mod:`asteroid.stages.on_policy` runs the MD and has them labelled,
:mod:`asteroid.validation.certificate` judges the errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.validation.errors import Errors

Floats = npt.NDArray[np.float64]
Place = tuple[int, int]
"""A trajectory and a frame of it, by index."""


@dataclass(frozen=True, eq=False)
class OnPolicy:
    """Errors of a model on frames of its own MD.

    Args:
        errors: over the frames that got a label; None when none did.
        temperatures: K, of each of these frames.
        asked: frames sent to the accurate level.
        failed: those of them whose label failed or was not believed; such a geometry is often one that is absurd.
    """

    errors: Errors | None
    temperatures: tuple[float, ...]
    asked: int
    failed: int


def statistical_inefficiency(series: npt.ArrayLike) -> float:
    """How many successive values of a stationary series count as one independent value; at least 1.

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


def draw_frames(
    energies: Sequence[npt.ArrayLike], temperatures: Sequence[float], count: int | None, *, seed: int
) -> list[Place]:
    """Frames drawn at random from trajectories, a correlation time apart, temperatures in turn.

    Each frame of a temperature is equally likely: a trajectory counts by how long it lasted, whatever its memory.
    Fewer than ``count`` where the trajectories hold no more independent ones.

    Args:
        energies: potential energies (K,) eV along each trajectory, equilibration left out; an empty one gives nothing.
        temperatures: K, of each trajectory.
        count: None for as many as there are.
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
        # One for all of them: a stride of its own would thin out the trajectory that is stuck somewhere.
        mean = np.average([statistical_inefficiency(series[i]) for i in own], weights=lengths)
        stride = int(np.ceil(mean))
        for trajectory, length in zip(own, lengths, strict=True):
            # A trajectory shorter than the stride is met now and then.
            found += [(trajectory, frame) for frame in range(int(random.integers(stride)), length, stride)]
    shuffled = [[found[i] for i in random.permutation(len(found))] for found in places.values()]
    rounds = max(map(len, shuffled), default=0)
    in_turn = [found[turn] for turn in range(rounds) for found in shuffled if turn < len(found)]
    return in_turn[:count]
