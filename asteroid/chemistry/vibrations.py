"""Hessian, rigid motions and normal modes of a molecule.

Sampling displaces conformers along normal modes (:mod:`asteroid.sampling.normal_modes`); validation compares the modes
of a model (:mod:`asteroid.validation.minimum`) and removes rigid motions from starting velocities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration
from asteroid.units import WAVENUMBER

Floats = npt.NDArray[np.float64]

STEP = 0.005
"""Å, displacement of the finite differences: the error is of order step², 1e-4 of a stretching mode, and the difference
of forces is far above the noise of a tight SCF."""

RIGID = 1e-3
"""Smallest size of a rotation, relative to the largest rigid motion. For a linear molecule the rotation about its axis
is below 1e-6 even if an optimiser left it slightly bent; for a bent molecule it is above 0.01."""


@dataclass(frozen=True, eq=False)
class NormalModes:
    """Vibrations of a molecule about a minimum.

    Args:
        frequencies: (M,) sqrt(eV/(u·Å²)), ascending, M = 3N − 6 (3N − 5 if linear); negative where imaginary.
        vectors: (M, N, 3) orthonormal in mass-weighted coordinates.
        masses: (N,) u.
    """

    frequencies: Floats
    vectors: Floats
    masses: Floats

    @property
    def wavenumbers(self) -> Floats:
        """(M,) cm⁻¹, negative where imaginary."""
        return self.frequencies * WAVENUMBER


def hessian(forces: Callable[[Configuration], Floats], configuration: Configuration, *, step: float = STEP) -> Floats:
    """Second derivatives of the energy, (3N, 3N) eV/Å², by central differences of forces.

    Args:
        forces: (N, 3) eV/Å of a configuration.
        step: Å.
    """
    return hessian_from_forces([forces(shifted) for shifted in displacements(configuration, step=step)], step=step)


def displacements(configuration: Configuration, *, step: float = STEP) -> list[Configuration]:
    """The 6N geometries for a Hessian: ± displacement along each coordinate.

    Args:
        step: Å.
    """
    shifted = []
    for coordinate in range(configuration.positions.size):
        for sign in (1.0, -1.0):
            positions = configuration.positions.copy()
            positions.flat[coordinate] += sign * step
            shifted.append(configuration.with_positions(positions))
    return shifted


def hessian_from_forces(forces: Sequence[Floats], *, step: float = STEP) -> Floats:
    """The Hessian, (3N, 3N) eV/Å², from the forces (N, 3) eV/Å at :func:`displacements`, in their order.

    Args:
        step: Å.
    """
    sides = np.array([one.ravel() for one in forces])
    rows: Floats = (sides[1::2] - sides[::2]) / (2 * step)
    return (rows + rows.T) / 2


def dipole_derivatives(dipoles: Sequence[Floats], *, step: float = STEP) -> Floats:
    """Derivatives of the dipole by the coordinates, (3N, 3) e, from dipoles (3,) e·Å at :func:`displacements`.

    Args:
        step: Å.
    """
    sides = np.array(dipoles)
    return np.asarray((sides[::2] - sides[1::2]) / (2 * step))


def normal_modes(configuration: Configuration, second: Floats) -> NormalModes:
    """Diagonalise a Hessian with translations and rotations projected out.

    Args:
        second: (3N, 3N) eV/Å², derivatives of the energy at ``configuration``.
    """
    masses = configuration.masses
    root = np.repeat(np.sqrt(masses), 3)
    _, internal = rigid_and_internal_modes(configuration.positions, masses)
    # In the basis of internal motions, rotations cannot mix into soft modes.
    values, vectors = np.linalg.eigh(internal.T @ (second / np.outer(root, root)) @ internal)
    frequencies = np.sign(values) * np.sqrt(np.abs(values))
    return NormalModes(frequencies, (internal @ vectors).T.reshape(len(values), len(masses), 3), masses)


def rigid_and_internal_modes(positions: npt.ArrayLike, masses: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Orthonormal translations and rotations, (3N, k), and their orthogonal complement, (3N, 3N − k).

    There are k = 6 of them, or 5 for a linear molecule, or 3 for an atom.

    Args:
        positions: (N, 3) Å.
        masses: (N,) u; motions are mass-weighted; give ones for Cartesian motions.

    >>> rigid, internal = rigid_and_internal_modes([[0, 0, 0], [0, 0, 0.74]], [1, 1])
    >>> rigid.shape, internal.shape
    ((6, 5), (6, 1))
    """
    mass: Floats = np.asarray(masses, dtype=np.float64)
    centred: Floats = np.asarray(positions, dtype=np.float64)
    centred = centred - np.average(centred, axis=0, weights=mass)
    weights = np.sqrt(mass)[:, None]
    rigid = [np.broadcast_to(axis, centred.shape) * weights for axis in np.eye(3)]
    rigid += [np.cross(axis, centred) * weights for axis in np.eye(3)]
    vectors, sizes, _ = np.linalg.svd(np.array([motion.ravel() for motion in rigid]).T, full_matrices=True)
    # Linear molecules and atoms have fewer rotations; the sizes of the others are zero.
    rank = int((sizes > RIGID * sizes[0]).sum())
    return np.asarray(vectors[:, :rank]), np.asarray(vectors[:, rank:])
