"""Displacements along normal modes, drawn from the classical Boltzmann distribution of the harmonic oscillators.

Cheap and uncorrelated, they cover the stiff directions that short trajectories visit slowly. A harmonic surface is not
the real one, so these frames are near, but not of, a Boltzmann distribution of the cheap level.
"""

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.vibrations import NormalModes, hessian
from asteroid.configuration import Configuration
from asteroid.engines import Labeller
from asteroid.errors import LabelFailed
from asteroid.units import BOLTZMANN, angular_frequency_to_wavenumber

SOFTEST = 100.0
"""cm⁻¹: softer modes (torsions, mostly) are treated as if they were this stiff, for along a straight
line their harmonic amplitude would tear the molecule apart. Imaginary modes count by their magnitude."""


def compute_hessian(labeller: Labeller, configuration: Configuration) -> npt.NDArray[np.float64]:
    """The Hessian at the labeller's level, (3N, 3N) eV/Å².

    Raises:
        LabelFailed: when a displaced geometry has no forces.
    """

    def forces(displaced: Configuration) -> npt.NDArray[np.float64]:
        result = labeller.compute(displaced)
        if result.forces is None:
            raise LabelFailed(f"{labeller.level} has no forces")
        return result.forces

    return hessian(forces, configuration)


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
