"""Choose a diverse subset of configurations, and find near copies.

Configurations are compared by their interatomic distances, sorted within each pair of elements: invariant under
rotation and under permutation of equal atoms.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration

NEAR = 0.003
"""Å, largest difference of the sorted distances of near copies. Thermal motion is at least ten times larger, and forces
differ by some 0.1 eV/Å across it."""


def sorted_distances(configurations: Sequence[Configuration]) -> npt.NDArray[np.float64]:
    """Distances of each configuration, sorted within each pair of elements: (M, N(N−1)/2) Å.

    Raises:
        ValueError: when they are not all of one composition.
    """
    rows = []
    elements: npt.NDArray[np.int64] | None = None
    for configuration in configurations:
        numbers = np.sort(configuration.numbers)
        if elements is not None and not np.array_equal(elements, numbers):
            raise ValueError("configurations of different composition cannot be compared")
        elements = numbers
        i, j = np.triu_indices(len(numbers), k=1)
        distances = np.linalg.norm(configuration.positions[i] - configuration.positions[j], axis=1)
        pair = np.sort(configuration.numbers[[i, j]], axis=0)
        rows.append(distances[np.lexsort((distances, pair[1], pair[0]))])
    return np.array(rows)


def pick_diverse(
    configurations: Sequence[Configuration], n: int, seed: int, already: Sequence[Configuration] = ()
) -> list[int]:
    """Indices of ``n`` configurations that differ from each other and from ``already``, most different first.

    Farthest-point selection on inverse sorted distances: each pick is the one farthest from its nearest earlier pick,
    so the picks for a smaller ``n`` are a prefix. The first is drawn by ``seed`` if ``already`` is empty. Fewer are
    returned when the rest are copies of earlier picks.
    """
    if not configurations or n < 1:
        return []
    # Inverse distances weight close atoms most, whose motion changes the forces most.
    points = 1 / sorted_distances([*configurations, *already])
    order = farthest_first(points[: len(configurations)], points[len(configurations) :], seed)
    return [pick for pick, _ in takewhile(lambda each: each[1] > 0, islice(order, n))]


def farthest_first(
    candidates: npt.NDArray[np.float64], known: npt.NDArray[np.float64], seed: int
) -> Iterator[tuple[int, float]]:
    """All candidates in farthest-first order, each with its distance from the known and earlier ones.

    Args:
        candidates: (M, D)
        known: (K, D); if empty, ``seed`` draws the first candidate.
    """
    nearest = np.full(len(candidates), np.inf)
    for point in known:
        nearest = np.minimum(nearest, np.linalg.norm(candidates - point, axis=1))
    for turn in range(len(candidates)):
        first = not turn and not len(known)
        pick = int(np.random.default_rng(seed).integers(len(candidates))) if first else int(nearest.argmax())
        yield pick, float(nearest[pick])
        nearest = np.minimum(nearest, np.linalg.norm(candidates - candidates[pick], axis=1))
        # Below all distances, so that it is not picked again.
        nearest[pick] = -1.0


def near_copies(
    candidates: npt.NDArray[np.float64], others: npt.NDArray[np.float64], tolerance: float = NEAR
) -> npt.NDArray[np.bool_]:
    """Which candidates are near copies of any of ``others``: (M,).

    Args:
        candidates: (M, D) rows of :func:`sorted_distances`.
        others: (K, D) likewise.
    """
    from scipy.spatial import cKDTree  # Not above: it takes half a second to import.

    found = np.zeros(len(candidates), dtype=bool)
    if len(candidates) and len(others):
        # The tree is built from the smaller set. Sorting never increases the largest difference, so no near copy is
        # missed if atoms are permuted.
        for hits in cKDTree(candidates).query_ball_point(others, tolerance, p=np.inf):
            found[hits] = True
    return found
