"""Whether a sampled geometry is still the molecule: no bond broken or formed, no clashing atoms.

A cluster is intact when its fragments are and contacts connect them all. A hydrogen may move from one fragment to a
heavy atom of another: where a proton sits depends on the level.

Hot trajectories and wide displacements sometimes break the molecule. Such frames are of little use for training, and
are dropped.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.bonds import BONDED, bonded, distances, radius_sums
from asteroid.chemistry.fragments import contact_sums, fragments, in_contact
from asteroid.configuration import Configuration
from asteroid.units import BOLTZMANN

FORMED = 1.1
"""Below this a new bond has formed; a hydrogen bond has 1.7."""
BROKEN = 1.6
"""Beyond this a bond is broken; at 600 K a bond to hydrogen reaches 1.3."""
CLASHING = 0.6
"""Below this two atoms clash; the shortest bonds stay above 0.8. All three are distances over sums of covalent
radii."""
ANHARMONIC = 1.25
"""Factor on the harmonic energy, for anharmonicity."""

APART = "fragments apart"
"""Reason for a cluster whose fragments are not in contact; they may come back."""


@dataclass(frozen=True, eq=False)
class Screen:
    """Bonds of a molecule or cluster, to test other geometries against.

    Args:
        bonds: (N, N) whether two atoms are bonded.
        sums: (N, N) Å, sums of covalent radii.
        exchange: (N, N) whether the row's atom is a hydrogen and the column's a heavy atom of another fragment.
        contacts: (N, N) Å, sums of van der Waals radii; None for a single molecule.
    """

    bonds: npt.NDArray[np.bool_]
    sums: npt.NDArray[np.float64]
    exchange: npt.NDArray[np.bool_]
    contacts: npt.NDArray[np.float64] | None

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        """The screen of an optimised molecule or cluster."""
        numbers, fragment = configuration.numbers, fragments(configuration)
        exchange = np.not_equal.outer(fragment, fragment) & (numbers[:, None] == 1) & (numbers[None, :] > 1)
        contacts = contact_sums(numbers) if fragment.any() else None
        return cls(bonded(configuration), radius_sums(numbers), exchange, contacts)

    def reason_to_drop(self, positions: npt.NDArray[np.float64]) -> str | None:
        """Why a geometry, (N, 3) Å, is no longer this molecule; None if it is."""
        ratio = distances(positions) / self.sums
        np.fill_diagonal(ratio, np.inf)
        if (ratio < CLASHING).any():
            return "atoms too close"
        either = self.exchange | self.exchange.T
        broken = self.bonds & ~either & (ratio > BROKEN)
        # A hydrogen that has moved to another fragment has broken no bond.
        moved = np.asarray((self.exchange & (ratio < BONDED)).any(axis=1))
        if (broken & ~moved[:, None] & ~moved[None, :]).any():
            return "bond broken"
        if (~self.bonds & ~either & (ratio < FORMED)).any():
            return "bond formed"
        if self.contacts is not None and not in_contact(positions, self.contacts):
            return APART
        return None


def highest_energy(atoms: int, temperature: float) -> float:
    """Energy limit in eV above the minimum, which hardly any frame of MD at this temperature (K) exceeds.

    The potential energy of n harmonic vibrations in units of k_B T has a gamma distribution of shape n / 2. The limit
    is its 99.99 % quantile times :data:`ANHARMONIC`.
    """
    from scipy.stats import gamma

    vibrations = max(1, 3 * atoms - 6)
    return float(ANHARMONIC * gamma.ppf(0.9999, vibrations / 2) * BOLTZMANN * temperature)
