"""Which candidates to label next: one small function for each criterion, in one registry.

All of them see the same :class:`Pool` of plain arrays. What it holds comes from :mod:`asteroid.acquisition.committee`;
:mod:`asteroid.stages.rounds` extends the accurate selection by what is picked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from asteroid.sampling.select import farthest_first
from asteroid.settings import Criterion

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates for a label, and what is known already.

    Args:
        descriptors: (M, D) of the candidates, see :func:`asteroid.acquisition.committee.descriptors`.
        uncertainty: (M,) eV/Å, the disagreement of a committee; None where there is no committee.
        bias: (M,) eV/Å, the expected disagreement of cheap and accurate forces; None where it is not known.
        known: (K, D) descriptors of the frames that have an accurate label, or wait for one.

    Raises:
        ValueError: for arrays that do not fit together or are not finite.
    """

    descriptors: Floats
    uncertainty: Floats | None
    bias: Floats | None
    known: Floats

    def __post_init__(self) -> None:
        count, width = self.descriptors.shape
        if self.known.ndim != 2 or self.known.shape[1] != width:
            raise ValueError(f"known descriptors of shape {self.known.shape}; expected (K, {width})")
        for name, values in (("uncertainty", self.uncertainty), ("bias", self.bias)):
            if values is not None and values.shape != (count,):
                raise ValueError(f"{name} of shape {values.shape}; expected ({count},)")
        for values in (self.descriptors, self.known, self.uncertainty, self.bias):
            if values is not None and not np.isfinite(values).all():
                raise ValueError("descriptors, uncertainty and bias must be finite")

    def __len__(self) -> int:
        return len(self.descriptors)


Rule = Callable[[Pool, int, int], list[int]]
"""(pool, how many, seed) -> indices of candidates, best first"""


def pick(criterion: Criterion, pool: Pool, count: int, *, seed: int) -> list[int]:
    """Indices of ``count`` candidates, best first, or of all where there are fewer.

    Args:
        seed: of the draws of ``random``, and of the first pick of ``diverse`` where nothing is known yet.

    Raises:
        ValueError: where the pool lacks what the criterion looks at.

    >>> pool = Pool(np.zeros((3, 1)), np.array([0.1, 0.3, 0.2]), None, np.zeros((0, 1)))
    >>> pick("committee", pool, 2, seed=0)
    [1, 2]
    """
    wanted = min(count, len(pool))
    return CRITERIA[criterion](pool, wanted, seed) if wanted > 0 else []


def random(pool: Pool, count: int, seed: int) -> list[int]:
    """Any candidates: the baseline."""
    return [int(i) for i in np.random.default_rng(seed).permutation(len(pool))[:count]]


def diverse(pool: Pool, count: int, seed: int) -> list[int]:
    """Farthest-point selection: each pick is the candidate that is farthest from all that is known or picked.

    Descriptors are standardised over candidates and known frames together.
    """
    order = farthest_first(*_standardised(pool), seed)
    return [pick for pick, _ in islice(order, count)]


def committee(pool: Pool, count: int, seed: int) -> list[int]:
    """The most uncertain candidates, however alike they are."""
    return _largest(_needed(pool.uncertainty, "committee", "uncertainty"), count)


def bias(pool: Pool, count: int, seed: int) -> list[int]:
    """Where cheap and accurate labels are expected to disagree most."""
    return _largest(_needed(pool.bias, "bias", "bias"), count)


def committee_diverse(pool: Pool, count: int, seed: int) -> list[int]:
    """Uncertain, diverse, and where the candidates are: largest cluster, maximum distance.

    Each candidate belongs to the nearest frame that is known or picked, at the distance :math:`d` of standardised
    descriptors, and stands for the error :math:`u d`, with the committee's uncertainty :math:`u`. The cluster with the
    largest sum of squared errors gives the next pick: its candidate of the largest error. (Holzmüller et al., JMLR 24
    (2023) 164, with the uncertainty added.) An outlier is a cluster of one, and a batch never holds two of a kind.
    """
    uncertainty = _needed(pool.uncertainty, "committee+diverse", "uncertainty")
    points, known = _standardised(pool)
    picks = [] if len(known) else [int(uncertainty.argmax())]
    distances = cdist(np.concatenate([known, points[picks]]), points)
    nearest, cluster = distances.min(axis=0), distances.argmin(axis=0)
    while len(picks) < count:
        error = uncertainty * nearest
        of_clusters = np.bincount(cluster, weights=np.square(error))
        in_largest = np.where(cluster == of_clusters.argmax(), error, -1.0)
        # Where only copies of what is picked are left, nothing is picked twice.
        in_largest[picks] = -2.0
        pick = int(in_largest.argmax())
        picks.append(pick)
        distance = np.linalg.norm(points - points[pick], axis=1)
        cluster = np.where(distance < nearest, len(known) + len(picks) - 1, cluster)
        nearest = np.minimum(nearest, distance)
    return picks


CRITERIA: Mapping[Criterion, Rule] = {
    "random": random,
    "diverse": diverse,
    "committee": committee,
    "bias": bias,
    "committee+diverse": committee_diverse,
}
"""Adding one is a function here and its name in :data:`asteroid.settings.Criterion`."""


def _largest(values: Floats, count: int) -> list[int]:
    return [int(i) for i in np.argsort(-values, kind="stable")[:count]]


def _needed(values: Floats | None, criterion: Criterion, name: str) -> Floats:
    if values is None:
        raise ValueError(f"the criterion {criterion} needs the {name} of the candidates")
    return values


def _standardised(pool: Pool) -> tuple[Floats, Floats]:
    """Candidates and known frames with each descriptor of mean 0 and variance 1 over both together."""
    every = np.concatenate([pool.descriptors, pool.known])
    spread = every.std(axis=0)
    # What is the same for all frames, up to rounding, tells none from another.
    tells = spread > 1e-9 * np.abs(every).max(axis=0, initial=0.0)
    points = (every[:, tells] - every[:, tells].mean(axis=0)) / spread[tells]
    return points[: len(pool)], points[len(pool) :]
