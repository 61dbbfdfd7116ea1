"""Physical checks of imported labels, before anything of a file is stored.

Each frame is checked by itself as in :mod:`asteroid.labelling.audit`, with wider tolerances for published data.
:func:`check_consistency` checks a whole file for wrong units and signs.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from asteroid.chemistry.geometry_checks import CLOSEST, FARTHEST, LONGEST_BOND, SHORTEST_BOND, neighbours_in_bonds
from asteroid.errors import InputError
from asteroid.exchange.labelled import LabelledFile
from asteroid.labelling.audit import LARGEST_FORCE

NET_TOLERANCE: Final = 0.01
"""Largest net force per atom (eV/Å) and net torque per atom (eV). Published sets of formaldehyde reach 5e-5, of
acetylacetone with DFT 2e-3; forces in another orientation than positions give at least 0.1."""

_CHUNK: Final = 2_000_000
"""Distances in memory at once."""


def geometry_problems(file: LabelledFile) -> dict[int, str]:
    """Frames whose geometry cannot be stored, with the reason: positions not finite or too large, or nuclei too
    close."""
    problems = dict.fromkeys(_rows(~np.isfinite(file.positions).all(axis=(1, 2))), "positions are not finite")
    farthest = np.abs(file.positions).max(axis=(1, 2))
    for row in _rows(farthest > FARTHEST):
        problems.setdefault(row, f"an atom is at {farthest[row]:.3g} Å, at most {FARTHEST:g} expected")
    pairs = np.triu_indices(len(file.numbers), k=1)
    if not len(pairs[0]):
        return problems
    step = max(1, _CHUNK // len(pairs[0]))
    for start in range(0, len(file), step):
        positions = file.positions[start : start + step]
        with np.errstate(all="ignore"):
            nearest = np.linalg.norm(positions[:, pairs[0]] - positions[:, pairs[1]], axis=2).min(axis=1)
        for row in _rows(nearest < CLOSEST):
            problems[start + row] = (
                f"two atoms are {nearest[row]:.2f} Å apart, at least {CLOSEST} expected; is --length-unit right?"
            )
    return problems


def label_problems(file: LabelledFile) -> dict[int, str]:
    """Frames whose energy or forces fail a check, with the reason."""
    problems = {i: f"energy is {file.energies[i]}" for i in _rows(~np.isfinite(file.energies))}
    forces, atoms = file.forces, len(file.numbers)
    finite = np.isfinite(forces).all(axis=(1, 2))
    problems |= dict.fromkeys(_rows(file.has_forces & ~finite), "forces are not finite")
    with np.errstate(all="ignore"):
        largest = np.abs(forces).max(axis=(1, 2))
        net = np.linalg.norm(forces.sum(axis=1), axis=1) / atoms
        centred = file.positions - file.positions.mean(axis=1, keepdims=True)
        torque = np.linalg.norm(np.cross(centred, forces).sum(axis=1), axis=1) / atoms
    # The first of several reasons is kept.
    for row in _rows(largest > LARGEST_FORCE):
        found = f"force of {largest[row]:.3g} eV/Å, at most {LARGEST_FORCE:g} expected; are the units right?"
        problems.setdefault(row, found)
    for row in _rows(net > NET_TOLERANCE):
        problems.setdefault(row, f"net force {net[row]:.3g} eV/Å per atom, at most {NET_TOLERANCE:g} expected")
    for row in _rows(torque > NET_TOLERANCE):
        problems.setdefault(row, f"net torque {torque[row]:.3g} eV per atom, at most {NET_TOLERANCE:g} expected")
    return problems


FEWEST_PAIRS: Final = 20
MOST_CHECKED: Final = 4000
"""Largest number of frames in the check; finding neighbours is slow with many atoms."""

CORRELATED: Final = 0.9
FACTOR: Final = 2.0
"""Work and energy difference: smallest correlation for a verdict, and largest accepted factor between them."""


def check_consistency(file: LabelledFile, rows: npt.NDArray[np.int64]) -> None:
    """Compare energy differences between neighbouring frames with the work of the forces along the path.

    With correct units their ratio is 1: 0.95 to 1.05 in formaldehyde sets of 20 to 4001 frames. Where neighbours are
    far apart or rotated, the two do not correlate, and nothing is checked.

    Args:
        rows: frames to check.

    Raises:
        InputError: when the sign or the unit of the forces does not fit the energies.
    """
    rows = rows[file.has_forces[rows]][:MOST_CHECKED]
    if len(rows) < FEWEST_PAIRS:
        return
    positions, forces, energies = file.positions[rows], file.forces[rows], file.energies[rows]
    points = positions.reshape(len(rows), -1)
    other = cKDTree(points).query(points, k=2)[1][:, 1]
    # The trapezoidal rule along the straight line to the neighbour.
    work = -0.5 * ((forces + forces[other]) * (positions[other] - positions)).sum(axis=(1, 2))
    difference = energies[other] - energies
    size = np.sqrt((work @ work) * (difference @ difference))
    if size == 0 or abs(work @ difference) < CORRELATED * size:
        return
    ratio = float(work @ difference / (work @ work))
    if ratio < 0:
        remedy = "remove" if file.gradients else "write"
        raise InputError(f"{file.path}: the energy rises along the forces; {remedy} --gradients")
    if not 1 / FACTOR < ratio < FACTOR:
        raise InputError(
            f"{file.path}: energies change by {ratio:.3g} times the work of the forces; "
            "write the --energy-unit and --length-unit of both"
        )


def bond_warning(file: LabelledFile, rows: npt.NDArray[np.int64]) -> str | None:
    """A warning where neighbouring atoms are much farther apart than a covalent bond, as in a noble gas.

    Raises:
        InputError: where they are much closer.
    """
    if len(file.numbers) < 2 or not len(rows):
        return None
    typical = neighbours_in_bonds(file.numbers, file.positions[rows[:1000]])
    found = f"atoms are {typical:.2g} times a covalent bond from their neighbours; is --length-unit right?"
    if typical < SHORTEST_BOND:
        raise InputError(f"{file.path}: {found}")
    return found if typical > LONGEST_BOND else None


def _rows(mask: npt.ArrayLike) -> Iterator[int]:
    return (int(row) for row in np.flatnonzero(mask))
