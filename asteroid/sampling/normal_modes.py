"""Displacements along normal modes, drawn from the classical Boltzmann distribution of the harmonic oscillators.

Cheap and uncorrelated, they cover the stiff directions that short trajectories visit slowly. A harmonic surface is not
the real one, so these frames are near, but not of, a Boltzmann distribution of the cheap level.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ase.data import atomic_masses

from asteroid.configuration import Configuration
from asteroid.errors import LabelFailed
from asteroid.labelling import Labeller
from asteroid.units import BOLTZMANN, angular_frequency_to_wavenumber

STEP = 0.005
"""Å, displacement of the finite differences: error about 1e-3 of a force constant, far above the noise of tight SCF."""

SOFTEST = 100.0
"""cm⁻¹: softer modes (torsions, mostly) are treated as if they were this stiff, for along a straight
line their harmonic amplitude would tear the molecule apart. Imaginary modes count by their magnitude."""


@dataclass(frozen=True, eq=False)
class NormalModes:
    """Vibrations of a molecule about a minimum.

    Args:
        frequencies: (M,) sqrt(eV/(u·Å²)), M = 3N − 6 (3N − 5 if linear); negative where imaginary.
        vectors: (M, N, 3) orthonormal in mass-weighted coordinates.
        masses: (N,) u.
    """

    frequencies: npt.NDArray[np.float64]
    vectors: npt.NDArray[np.float64]
    masses: npt.NDArray[np.float64]

    @property
    def wavenumbers(self) -> npt.NDArray[np.float64]:
        """(M,) cm⁻¹"""
        return self.frequencies * angular_frequency_to_wavenumber(1.0)


def compute_hessian(labeller: Labeller, configuration: Configuration) -> npt.NDArray[np.float64]:
    """Second derivatives of the energy, (3N, 3N) eV/Å², by central differences of forces.

    Raises:
        LabelFailed: when a displaced geometry has no forces.
    """
    size = configuration.positions.size
    rows = np.empty((size, size))
    for coordinate in range(size):
        forces = []
        for sign in (1.0, -1.0):
            shifted = configuration.positions.copy().ravel()
            shifted[coordinate] += sign * STEP
            result = labeller.compute(configuration.with_positions(shifted.reshape(-1, 3)))
            if result.forces is None:
                raise LabelFailed(f"{labeller.level} has no forces")
            forces.append(result.forces.ravel())
        rows[coordinate] = (forces[1] - forces[0]) / (2 * STEP)
    return (rows + rows.T) / 2


def normal_modes(configuration: Configuration, hessian: npt.NDArray[np.float64]) -> NormalModes:
    """Diagonalise a Hessian, (3N, 3N) eV/Å², with translations and rotations projected out."""
    masses = atomic_masses[configuration.numbers]
    root = np.repeat(np.sqrt(masses), 3)
    internal = _internal_space(configuration.positions, masses)
    # In the basis of internal motions no rotation can mix into a soft mode.
    values, vectors = np.linalg.eigh(internal.T @ (hessian / np.outer(root, root)) @ internal)
    frequencies = np.sign(values) * np.sqrt(np.abs(values))
    return NormalModes(frequencies, (internal @ vectors).T.reshape(len(values), -1, 3), masses)


def _internal_space(positions: npt.NDArray[np.float64], masses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3N, M) orthonormal basis of the mass-weighted motions that neither move nor turn the molecule."""
    centred = positions - np.average(positions, axis=0, weights=masses)
    weights = np.sqrt(masses)[:, None]
    rigid = [np.broadcast_to(axis, centred.shape) * weights for axis in np.eye(3)]
    rigid += [np.cross(axis, centred) * weights for axis in np.eye(3)]
    vectors, sizes, _ = np.linalg.svd(np.array([motion.ravel() for motion in rigid]).T, full_matrices=True)
    # A linear molecule has no rotation about its axis: one singular value is zero, and there is one vibration more.
    rank = int((sizes > 1e-4 * sizes[0]).sum())
    space: npt.NDArray[np.float64] = vectors[:, rank:]
    return space


def displace(
    configuration: Configuration, modes: NormalModes, *, temperature: float, count: int, seed: int
) -> npt.NDArray[np.float64]:
    """Geometries drawn from the harmonic Boltzmann distribution at ``temperature`` (K): (count, N, 3) Å.

    Each mode's amplitude in mass-weighted coordinates is normal with variance k_B T / ω². The first frames are the same
    whatever ``count`` is.
    """
    softest = SOFTEST / angular_frequency_to_wavenumber(1.0)
    widths = np.sqrt(BOLTZMANN * temperature) / np.maximum(np.abs(modes.frequencies), softest)
    amplitudes = np.random.default_rng(seed).standard_normal((count, len(widths))) * widths
    steps = np.einsum("cm,mna->cna", amplitudes, modes.vectors) / np.sqrt(modes.masses)[:, None]
    displaced: npt.NDArray[np.float64] = configuration.positions + steps
    return displaced
