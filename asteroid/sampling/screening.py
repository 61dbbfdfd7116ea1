"""Which sampled geometries are still the molecule: nothing broken, nothing fused, no nuclei on each other.

A cluster is intact when each of its fragments is and contacts connect them all. A hydrogen may move from a heavy atom
of one fragment to one of another: that is what acids and bases do, and which side it is on is a matter of the level.

Hot trajectories and wide displacements now and then leave the molecule. Such frames cost an accurate label each and
teach a model of the molecule little, so they are dropped here and counted by reason.
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
"""Atoms that were not bonded have fused below this; far enough below a hydrogen bond's 1.7."""
BROKEN = 1.6
"""A bond is broken beyond this; at 600 K a bond to hydrogen reaches 1.3."""
CLASHING = 0.6
"""No two atoms come nearer than this; the shortest bonds stay above 0.8."""
ANHARMONIC = 1.25
"""Times the harmonic energy that is believed of a real molecule."""


APART = "fragments apart"
"""The reason for a cluster that is not one any more: its fragments may meet again."""


@dataclass(frozen=True, eq=False)
class Screen:
    """The bonds of a molecule or cluster, and a test of other geometries against them.

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
        """The screen of a molecule or cluster at rest."""
        numbers, fragment = configuration.numbers, fragments(configuration)
        exchange = np.not_equal.outer(fragment, fragment) & (numbers[:, None] == 1) & (numbers[None, :] > 1)
        contacts = contact_sums(numbers) if fragment.any() else None
        return cls(bonded(configuration), radius_sums(numbers), exchange, contacts)

    def reason_to_drop(self, positions: npt.NDArray[np.float64]) -> str | None:
        """Why a geometry, (N, 3) Å, is not this molecule any more; None if it is."""
        ratio = distances(positions) / self.sums
        np.fill_diagonal(ratio, np.inf)
        if (ratio < CLASHING).any():
            return "atoms too close"
        either = self.exchange | self.exchange.T
        broken = self.bonds & ~either & (ratio > BROKEN)
        # A hydrogen that now sits on another fragment has only changed its partner.
        moved = np.asarray((self.exchange & (ratio < BONDED)).any(axis=1))
        if (broken & ~moved[:, None] & ~moved[None, :]).any():
            return "bond broken"
        if (~self.bonds & ~either & (ratio < FORMED)).any():
            return "bond formed"
        if self.contacts is not None and not in_contact(positions, self.contacts):
            return APART
        return None


def highest_energy(atoms: int, temperature: float) -> float:
    """eV above the minimum that a geometry may have: what hardly a frame of MD at this temperature (K) exceeds.

    The energy of n harmonic vibrations in units of k_B T has a gamma distribution of shape n / 2; all but one in ten
    thousand lie below, and anharmonic ones (:data:`ANHARMONIC`) not far above.
    """
    from scipy.stats import gamma

    vibrations = max(1, 3 * atoms - 6)
    return float(ANHARMONIC * gamma.ppf(0.9999, vibrations / 2) * BOLTZMANN * temperature)
