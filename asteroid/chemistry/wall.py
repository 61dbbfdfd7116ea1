"""A soft spherical wall about the centre of mass of a cluster, against evaporation in MD.

At a few hundred kelvin, molecules leave a cluster in vacuum within picoseconds. Inside the wall the energy is
unchanged, so frames there are Boltzmann distributed (restricted to the sphere); frames where the wall acts are not. MD
with the cheap level (:mod:`asteroid.sampling.dynamics`) and with a model (:mod:`asteroid.simulation`) use the same
wall, so that their ensembles can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.fragments import is_cluster
from asteroid.configuration import Configuration

Floats = npt.NDArray[np.float64]

ROOM = 1.0
"""Å between the outermost atom of the conformers and the wall: two fragments can move 2 Å farther apart than in a
conformer, about to the end of a contact (:data:`asteroid.chemistry.fragments.CONTACT`)."""
STIFFNESS = 1.0
"""eV/Å² per atom: at 600 K an atom enters the wall by 0.2 Å, and vibrates there at most at 500 cm⁻¹."""


@dataclass(frozen=True, eq=False)
class Wall:
    """Half-harmonic in the distance of each atom from the centre of mass: k/2 (r − radius)² beyond ``radius``.

    Args:
        radius: Å.
        masses: (N,) u.
    """

    radius: float
    masses: Floats

    @classmethod
    def around(cls, conformers: Sequence[Configuration]) -> Self | None:
        """The wall for these conformers; None for single molecules."""
        if not any(is_cluster(conformer) for conformer in conformers):
            return None
        masses = conformers[0].masses
        whole = cls(np.inf, masses)
        # Rounded, because it names stored batches.
        return cls(round(max(float(whole._from_centre(c.positions)[1].max()) for c in conformers) + ROOM, 3), masses)

    def acts(self, positions: Floats) -> npt.NDArray[np.bool_]:
        """(…) whether an atom of each geometry, (…, N, 3) Å, is beyond the radius."""
        return np.asarray((self._from_centre(positions)[1] > self.radius).any(axis=-1))

    def push(self, positions: Floats) -> tuple[Floats, Floats]:
        """Energies (…) eV and forces (…, N, 3) eV/Å of the wall, without net force or torque.

        Args:
            positions: (…, N, 3) Å.
        """
        offsets, lengths = self._from_centre(positions)
        beyond = np.maximum(lengths - self.radius, 0.0)
        forces = -(STIFFNESS * beyond / np.maximum(lengths, 1e-12))[..., None] * offsets
        # The centre moves with the atoms.
        forces -= (self.masses / self.masses.sum())[:, None] * forces.sum(axis=-2, keepdims=True)
        return 0.5 * STIFFNESS * (beyond**2).sum(axis=-1), forces

    def _from_centre(self, positions: Floats) -> tuple[Floats, Floats]:
        """Vectors (…, N, 3) and distances (…, N) from the centre of mass."""
        centre = np.einsum("n,...nc->...c", self.masses / self.masses.sum(), positions)
        offsets = positions - centre[..., None, :]
        return offsets, np.asarray(np.linalg.norm(offsets, axis=-1))
