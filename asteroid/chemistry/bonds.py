"""Which atoms of a structure are bonded.

:mod:`asteroid.sampling.screening` and :mod:`asteroid.validation.dynamics` decide how far a bond may stretch.
"""

from collections import deque

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration

BONDED = 1.25
"""Atoms nearer than this times the sum of their covalent radii are bonded in an optimised structure."""


def bonded(configuration: Configuration) -> npt.NDArray[np.bool_]:
    """(N, N) whether two atoms are bonded; False on the diagonal.

    >>> bonded(Configuration([1, 1], [[0, 0, 0], [0, 0, 0.74]])).tolist()
    [[False, True], [True, False]]
    """
    bonds = distances(configuration.positions) < BONDED * radius_sums(configuration.numbers)
    np.fill_diagonal(bonds, False)
    return bonds


def radius_sums(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(N, N) Å, sums of covalent radii (Cordero et al., doi:10.1039/b801115j)."""
    from ase.data import covalent_radii

    radii = np.asarray(covalent_radii, dtype=np.float64)[numbers]
    return radii[:, None] + radii[None, :]


def distances(positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, N) Å, interatomic distances."""
    return np.asarray(np.linalg.norm(positions[:, None] - positions[None, :], axis=-1))


def turning_side(bonds: npt.NDArray[np.bool_], fixed: int, turning: int) -> npt.NDArray[np.bool_]:
    """(N,) whether each atom is on the turning atom's side of the bond to the fixed one; True for the turning atom.

    Args:
        bonds: (N, N) from :func:`bonded`.

    >>> chain = np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]], dtype=bool)
    >>> turning_side(chain, 1, 2).tolist()
    [False, False, True, True]
    """
    reached = np.zeros(len(bonds), dtype=bool)
    reached[[fixed, turning]] = True
    waiting = deque([turning])
    while waiting:
        for neighbour in np.flatnonzero(bonds[waiting.popleft()] & ~reached):
            reached[neighbour] = True
            waiting.append(int(neighbour))
    reached[fixed] = False
    return reached
