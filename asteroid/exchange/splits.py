"""Splits of imported frames: blocks of neighbouring frames, and near copies, stay in one split.

Neighbouring frames of a trajectory are similar, and random displacements may coincide. In different splits, they would
make test errors too small.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from asteroid.configuration import Configuration, Split
from asteroid.groups import MINIMUM_GROUPS, SPLIT_PATTERN
from asteroid.sampling.select import NEAR, sorted_distances

_HELD_OUT_FIRST: tuple[Split, ...] = ("certificate", "test", "valid", "train")


def blocks(count: int, frames_per_group: int) -> list[int]:
    """Block of each of ``count`` frames; blocks of small files are smaller, so that all splits occur.

    >>> blocks(5, 2)
    [0, 1, 2, 3, 4]
    """
    size = min(frames_per_group, -(-count // MINIMUM_GROUPS))
    return [index // size for index in range(count)]


def split_of_block(block: int) -> Split:
    """70 % train, 10 % valid, 20 % test, as in sampling."""
    return SPLIT_PATTERN[block % len(SPLIT_PATTERN)]


def keep_copies_together(
    new: Sequence[Configuration],
    wanted: Sequence[Split],
    known: Sequence[Configuration],
    known_splits: Sequence[Split],
) -> list[Split]:
    """Split of each new frame: that of its near copies, or the wanted one.

    Frames linked by near copies share one split: that of a known frame among them, which cannot change, or else the one
    of their wanted splits that holds them out first.
    """
    # Two atoms have only one distance: with a few hundred frames all would be near copies.
    if not new or len(new[0].numbers) <= 2:
        return list(wanted)
    points = sorted_distances([*new, *known])
    pairs = cKDTree(points).query_pairs(NEAR, p=np.inf, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    components: list[int] = connected_components(links, directed=False)[1].tolist()
    fixed: dict[int, set[Split]] = {}
    asked: dict[int, set[Split]] = {}
    for component, split in zip(components[len(new) :], known_splits, strict=True):
        fixed.setdefault(component, set()).add(split)
    for component, split in zip(components, wanted, strict=False):
        asked.setdefault(component, set()).add(split)
    return [
        next(split for split in _HELD_OUT_FIRST if split in fixed.get(component, asked[component]))
        for component in components[: len(new)]
    ]
