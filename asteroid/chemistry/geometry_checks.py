"""Plausibility of coordinates in a file: which are refused, and which give a warning.

Used for geometry files (:mod:`asteroid.chemistry.geometry_files`) and labelled files (:mod:`asteroid.exchange.checks`).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.bonds import distances, radius_sums

CLOSEST: Final = 0.3
"""Å, smallest accepted distance of two nuclei."""

FARTHEST: Final = 1e6
"""Å, largest accepted coordinate: beyond, squares of distances lose their precision, and then overflow."""

SHORTEST_BOND: Final = 0.65
LONGEST_BOND: Final = 1.6
"""Times the sum of covalent radii. Å read as bohr makes bonds half as long, bohr read as Å nearly twice as long."""

WIDE_GAP: Final = 5.0
"""Å between two parts of a structure that gives a warning: molecules in contact are at most 4 Å apart, and a model's
cutoff is about 5 Å."""

WIDEST_GAP: Final = 10.0
"""Å between two parts that is refused: a model can learn no interaction across it."""

Floats = npt.NDArray[np.float64]


def reason_to_refuse(numbers: npt.NDArray[np.int64], positions: Floats) -> str | None:
    """Why coordinates cannot be a molecule in Å, with a remedy; None where they can.

    Args:
        numbers: (N,) atomic numbers, N ≥ 2.
        positions: (N, 3) Å.

    >>> reason_to_refuse(np.array([1, 1]), np.array([[0.0, 0, 0], [0, 0, 90]]))
    'where two parts are 90.0 Å apart, more than 10; write one molecule, or molecules in contact'
    """
    if not np.isfinite(positions).all():
        return "whose positions are not finite; write coordinates in Å"
    farthest = float(np.abs(positions).max())
    if farthest > FARTHEST:
        return f"where an atom is at {farthest:.3g} Å, more than {FARTHEST:g}; write coordinates in Å"
    nearest = float((distances(positions) + np.where(np.eye(len(positions)), np.inf, 0.0)).min())
    if nearest < CLOSEST:
        return f"where two atoms are {nearest:.2f} Å apart; write coordinates in Å"
    typical = neighbours_in_bonds(numbers, positions)
    if typical < SHORTEST_BOND:
        return f"where atoms are {typical:.2g} times a covalent bond from their neighbours; write coordinates in Å"
    gap = largest_gap(positions)
    if gap > WIDEST_GAP:
        return (
            f"where two parts are {gap:.1f} Å apart, more than {WIDEST_GAP:g}; "
            "write one molecule, or molecules in contact"
        )
    return None


def reasons_to_doubt(numbers: npt.NDArray[np.int64], positions: Floats) -> list[str]:
    """Probable mistakes in coordinates that :func:`reason_to_refuse` accepts; arguments as there.

    >>> reasons_to_doubt(np.array([1, 1]), np.array([[0.0, 0, 0], [0, 0, 1.4]]))
    ['atoms are 2.3 times a covalent bond from their neighbours, as in coordinates in bohr; write coordinates in Å']
    """
    found = []
    typical = neighbours_in_bonds(numbers, positions)
    if typical > LONGEST_BOND:
        found.append(
            f"atoms are {typical:.2g} times a covalent bond from their neighbours, as in coordinates in bohr; "
            "write coordinates in Å"
        )
    gap = largest_gap(positions)
    if gap > WIDE_GAP:
        found.append(
            f"two parts are {gap:.1f} Å apart, farther than molecules in contact and about the cutoff of a model; "
            "write them nearer"
        )
    return found


def neighbours_in_bonds(numbers: npt.NDArray[np.int64], positions: Floats) -> float:
    """Median distance of an atom to its nearest neighbour, over the sum of their covalent radii: about 1.

    Args:
        positions: (N, 3) Å, or (M, N, 3) Å for the median over M frames.
    """
    apart = np.linalg.norm(positions[..., :, None, :] - positions[..., None, :, :], axis=-1) / radius_sums(numbers)
    apart[..., *np.diag_indices(len(numbers))] = np.inf
    return float(np.median(apart.min(axis=-1)))


def largest_gap(positions: Floats) -> float:
    """Å, largest distance of one part of a structure, an atom or more, from the rest.

    >>> largest_gap(np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 4], [0, 0, 5]]))
    3.0
    """
    from scipy.cluster.hierarchy import linkage

    return float(linkage(positions, "single")[:, 2].max())
