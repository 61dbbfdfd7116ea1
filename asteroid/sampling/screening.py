"""Which sampled geometries are still the molecule: nothing broken, nothing fused, no nuclei on each other.

Hot trajectories and wide displacements now and then leave the molecule. Such frames cost an accurate label each and
teach a model of the molecule little, so they are dropped here and counted by reason.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from asteroid.bonds import bonded, distances, radius_sums
from asteroid.configuration import Configuration
from asteroid.units import BOLTZMANN

FORMED = 1.1
"""Atoms that were not bonded have fused below this; far enough below a hydrogen bond's 1.7."""
BROKEN = 1.6
"""A bond is broken beyond this; at 600 K a bond to hydrogen reaches 1.3."""
CLASHING = 0.6
"""No two atoms come nearer than this; the shortest bonds stay above 0.8."""
ANHARMONIC = 1.25
"""Times the harmonic energy that is believed of a real molecule."""


@dataclass(frozen=True, eq=False)
class Screen:
    """The bonds of a molecule, and a test of other geometries against them.

    Args:
        bonds: (N, N) whether two atoms are bonded.
        sums: (N, N) Å, sums of covalent radii.
    """

    bonds: npt.NDArray[np.bool_]
    sums: npt.NDArray[np.float64]

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        """The screen of a molecule at rest."""
        return cls(bonded(configuration), radius_sums(configuration.numbers))

    def reason_to_drop(self, positions: npt.NDArray[np.float64]) -> str | None:
        """Why a geometry, (N, 3) Å, is not this molecule any more; None if it is."""
        ratio = distances(positions) / self.sums
        np.fill_diagonal(ratio, np.inf)
        if (ratio < CLASHING).any():
            return "atoms too close"
        if (ratio[self.bonds] > BROKEN).any():
            return "bond broken"
        if (ratio[~self.bonds] < FORMED).any():
            return "bond formed"
        return None


def highest_energy(atoms: int, temperature: float) -> float:
    """eV above the minimum that a geometry may have: what hardly a frame of MD at this temperature (K) exceeds.

    The energy of n harmonic vibrations in units of k_B T has a gamma distribution of shape n / 2; all but one in ten
    thousand lie below, and anharmonic ones (:data:`ANHARMONIC`) not far above.
    """
    from scipy.stats import gamma

    vibrations = max(1, 3 * atoms - 6)
    return float(ANHARMONIC * gamma.ppf(0.9999, vibrations / 2) * BOLTZMANN * temperature)
