"""Can these coordinates be a molecule in Å: what is refused in a geometry file, and what is only doubted.

One place for the limits that files of geometries (:mod:`asteroid.chemistry.geometry_files`) and labelled files
(:mod:`asteroid.exchange.checks`) share. Which atoms are bonded is :mod:`asteroid.chemistry.bonds`' question.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.bonds import distances, radius_sums

CLOSEST: Final = 0.3
"""Å: nuclei nearer than this are a mistake in a file, not a molecule."""

FARTHEST: Final = 1e6
"""Å from the origin: beyond, squares of distances lose all that distinguishes geometries, and then overflow."""

SHORTEST_BOND: Final = 0.65
LONGEST_BOND: Final = 1.6
"""Of the sum of covalent radii. Å taken for bohr makes bonds half as long, bohr taken for Å nearly twice as long."""

WIDE_GAP: Final = 5.0
"""Å between two parts of a structure: molecules in contact are at most 4 Å apart, and a model's cutoff is about 5."""

WIDEST_GAP: Final = 10.0
"""Å: nothing that a model can learn acts across it."""

Floats = npt.NDArray[np.float64]


def reason_to_refuse(numbers: npt.NDArray[np.int64], positions: Floats) -> str | None:
    """Why coordinates cannot be a molecule in Å, with what to write instead; None where they can.

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
    """What is probably a mistake in coordinates that :func:`reason_to_refuse` lets pass; arguments as there.

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
            f"two parts are {gap:.1f} Å apart, farther than molecules in contact and about as far as a model sees; "
            "write them nearer"
        )
    return found


def neighbours_in_bonds(numbers: npt.NDArray[np.int64], positions: Floats) -> float:
    """Distance of the typical atom to its nearest neighbour, over the sum of their covalent radii: about 1.

    Args:
        positions: (N, 3) or, for the typical atom of M frames, (M, N, 3) Å.
    """
    apart = np.linalg.norm(positions[..., :, None, :] - positions[..., None, :, :], axis=-1) / radius_sums(numbers)
    apart[..., *np.diag_indices(len(numbers))] = np.inf
    return float(np.median(apart.min(axis=-1)))


def largest_gap(positions: Floats) -> float:
    """Å, largest distance by which one part of a structure, an atom or more, is apart from all the rest.

    >>> largest_gap(np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 4], [0, 0, 5]]))
    3.0
    """
    from scipy.cluster.hierarchy import linkage

    return float(linkage(positions, "single")[:, 2].max())
