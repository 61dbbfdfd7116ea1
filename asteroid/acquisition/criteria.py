"""Criteria for picking the next frames to label: one function each, in one registry.

All criteria take the same :class:`Pool` of arrays, computed by :mod:`asteroid.acquisition.committee`.
:mod:`asteroid.stages.rounds` adds the picked frames to the accurate selection.
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
    """Candidates for labelling, and the known frames.

    Args:
        descriptors: (M, D) of the candidates, see :func:`asteroid.acquisition.committee.descriptors`.
        uncertainty: (M,) eV/Å, disagreement of a committee; None without a committee.
        bias: (M,) eV/Å, expected difference of cheap and accurate forces; None if unknown.
        known: (K, D) descriptors of the frames that have, or will get, an accurate label.

    Raises:
        ValueError: for inconsistent shapes or values that are not finite.
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
"""(pool, number, seed) -> indices of candidates, best first"""


def pick(criterion: Criterion, pool: Pool, count: int, *, seed: int) -> list[int]:
    """Indices of at most ``count`` candidates, best first.

    Args:
        seed: for ``random``, and for the first pick of ``diverse`` without known frames.

    Raises:
        ValueError: when the pool lacks data that the criterion needs.

    >>> pool = Pool(np.zeros((3, 1)), np.array([0.1, 0.3, 0.2]), None, np.zeros((0, 1)))
    >>> pick("committee", pool, 2, seed=0)
    [1, 2]
    """
    wanted = min(count, len(pool))
    return CRITERIA[criterion](pool, wanted, seed) if wanted > 0 else []


def random(pool: Pool, count: int, seed: int) -> list[int]:
    """Random candidates: the baseline."""
    return [int(i) for i in np.random.default_rng(seed).permutation(len(pool))[:count]]


def diverse(pool: Pool, count: int, seed: int) -> list[int]:
    """Farthest-point selection: each pick is the candidate farthest from all known and picked frames.

    Descriptors are standardised over candidates and known frames together.
    """
    order = farthest_first(*_standardised(pool), seed)
    return [pick for pick, _ in islice(order, count)]


def committee(pool: Pool, count: int, seed: int) -> list[int]:
    """The most uncertain candidates, regardless of their similarity."""
    return _largest(_needed(pool.uncertainty, "committee", "uncertainty"), count)


def bias(pool: Pool, count: int, seed: int) -> list[int]:
    """The candidates with the largest expected difference of cheap and accurate forces."""
    return _largest(_needed(pool.bias, "bias", "bias"), count)


def committee_diverse(pool: Pool, count: int, seed: int) -> list[int]:
    """Uncertain, diverse and representative candidates: largest cluster, maximum distance.

    Each candidate is assigned to the nearest known or picked frame, at the distance :math:`d` of standardised
    descriptors, with the error estimate :math:`u d` for the committee's uncertainty :math:`u`. The next pick is the
    candidate with the largest estimate in the cluster with the largest sum of squares (Holzmüller et al., JMLR 24
    (2023) 164, with the uncertainty added). An outlier is a cluster of one, and a batch has no near duplicates.
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
        # Never pick a frame twice, even when only copies of picked frames remain.
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
"""To add a criterion, write a function here and add its name to :data:`asteroid.settings.Criterion`."""


def _largest(values: Floats, count: int) -> list[int]:
    return [int(i) for i in np.argsort(-values, kind="stable")[:count]]


def _needed(values: Floats | None, criterion: Criterion, name: str) -> Floats:
    if values is None:
        raise ValueError(f"the criterion {criterion} needs the {name} of the candidates")
    return values


def _standardised(pool: Pool) -> tuple[Floats, Floats]:
    """Descriptors of candidates and known frames, standardised to mean 0 and variance 1 over both."""
    every = np.concatenate([pool.descriptors, pool.known])
    spread = every.std(axis=0)
    # Leave out descriptors that are constant up to rounding.
    varies = spread > 1e-9 * np.abs(every).max(axis=0, initial=0.0)
    points = (every[:, varies] - every[:, varies].mean(axis=0)) / spread[varies]
    return points[: len(pool)], points[len(pool) :]
