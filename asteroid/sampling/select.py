"""Telling configurations apart: a diverse subset of many, and near copies across splits.

Both look at a configuration as its interatomic distances, sorted within each pair of elements: a rotated molecule, or
one with two hydrogens exchanged, is the same. Nothing here needs a model, and nothing imports torch.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration

NEAR = 0.003
"""Å: two frames with no distance farther apart than this are near copies. Thermal motion is ten times
wider at least, and labels differ by some 0.1 eV/Å across it."""


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
    """Indices of ``n`` configurations that differ much from each other and from ``already``, best first.

    Farthest-point selection on inverse sorted distances: each pick is the one whose nearest neighbour among all earlier
    picks is farthest, so the picks for a smaller ``n`` are a prefix. The first is drawn by ``seed`` when nothing is
    there yet. Fewer come back when the rest are copies of what has been picked.
    """
    if not configurations or n < 1:
        return []
    # Inverse distances weigh near atoms most, whose motion changes the forces most.
    points = 1 / sorted_distances([*configurations, *already])
    order = farthest_first(points[: len(configurations)], points[len(configurations) :], seed)
    return [pick for pick, _ in takewhile(lambda each: each[1] > 0, islice(order, n))]


def farthest_first(
    candidates: npt.NDArray[np.float64], known: npt.NDArray[np.float64], seed: int
) -> Iterator[tuple[int, float]]:
    """All candidates, each time the one farthest from what is known or came before, with that distance.

    Args:
        candidates: (M, D)
        known: (K, D); where nothing is, ``seed`` draws the first candidate.
    """
    nearest = np.full(len(candidates), np.inf)
    for point in known:
        nearest = np.minimum(nearest, np.linalg.norm(candidates - point, axis=1))
    for turn in range(len(candidates)):
        first = not turn and not len(known)
        pick = int(np.random.default_rng(seed).integers(len(candidates))) if first else int(nearest.argmax())
        yield pick, float(nearest[pick])
        nearest = np.minimum(nearest, np.linalg.norm(candidates - candidates[pick], axis=1))
        # Below all distances, also among copies: nothing is picked twice.
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
        # The tree is built over the few and asked about the many. Sorting never widens the largest difference, so no
        # near copy is missed whichever atoms were exchanged.
        for hits in cKDTree(candidates).query_ball_point(others, tolerance, p=np.inf):
            found[hits] = True
    return found
