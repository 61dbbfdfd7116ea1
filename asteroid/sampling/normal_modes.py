"""Displacements along normal modes, from the classical Boltzmann distribution of harmonic oscillators.

They are cheap and uncorrelated, and cover stiff directions that short trajectories sample slowly. The harmonic
distribution only approximates the Boltzmann distribution of the cheap level.
"""

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.vibrations import NormalModes, hessian
from asteroid.configuration import Configuration
from asteroid.engines import Labeller
from asteroid.errors import LabelFailed
from asteroid.units import BOLTZMANN, WAVENUMBER

SOFTEST = 100.0
"""cm⁻¹, lower limit of frequencies: along a straight line, the harmonic amplitude of softer modes (mostly torsions)
would break the molecule. Imaginary modes count by their magnitude."""


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

    Each mode's amplitude in mass-weighted coordinates is normal with variance k_B T / ω². The first frames do not
    depend on ``count``.
    """
    softest = SOFTEST / WAVENUMBER
    widths = np.sqrt(BOLTZMANN * temperature) / np.maximum(np.abs(modes.frequencies), softest)
    amplitudes = np.random.default_rng(seed).standard_normal((count, len(widths))) * widths
    steps = np.einsum("cm,mna->cna", amplitudes, modes.vectors) / np.sqrt(modes.masses)[:, None]
    displaced: npt.NDArray[np.float64] = configuration.positions + steps
    return displaced
