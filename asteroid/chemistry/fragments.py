"""Fragments of a cluster (molecules and ions without bonds between them), and whether they are in contact.

:mod:`asteroid.sampling.clusters` places fragments, :mod:`asteroid.sampling.screening` drops geometries whose fragments
have drifted apart, :mod:`asteroid.chemistry.wall` keeps a cluster together in MD, and
:mod:`asteroid.validation.distributions` compares distances between fragments.
"""

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.bonds import bonded, distances, radius_sums
from asteroid.configuration import Configuration

CONTACT = 1.5
"""Fragments whose closest atoms are within this times the sum of their van der Waals radii are in contact: 4.1 Å for
H···O, where a hydrogen bond has lost 90 % of its energy. At a minimum the ratio is 0.7 (hydrogen bond) to 1.1."""


def fragments(configuration: Configuration) -> npt.NDArray[np.int64]:
    """(N,) index of the fragment of each atom, from 0 in the order of the atoms.

    A hydrogen between two heavy atoms (a shared proton) belongs to the nearer one.

    >>> fragments(Configuration([1, 1, 2], [[0, 0, 0], [0, 0, 0.74], [0, 0, 4]])).tolist()
    [0, 0, 1]
    """
    bonds, numbers = bonded(configuration), configuration.numbers
    ratios = distances(configuration.positions) / radius_sums(numbers)
    for hydrogen in np.flatnonzero(numbers == 1):
        heavy = np.flatnonzero(bonds[hydrogen] & (numbers > 1))
        farther = heavy[heavy != heavy[ratios[hydrogen, heavy].argmin()]] if len(heavy) else heavy
        bonds[hydrogen, farther] = bonds[farther, hydrogen] = False
    return _connected(bonds)


def is_cluster(configuration: Configuration) -> bool:
    """Whether there is more than one fragment."""
    return bool(fragments(configuration).max() > 0)


def contact_sums(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(N, N) Å, sums of van der Waals radii (Alvarez, doi:10.1039/c3dt50599e; 2 Å where there is none)."""
    from ase.data.vdw_alvarez import vdw_radii

    radii = np.nan_to_num(np.asarray(vdw_radii, dtype=np.float64)[numbers], nan=2.0)
    return np.asarray(radii[:, None] + radii[None, :])


def in_contact(positions: npt.NDArray[np.float64], sums: npt.NDArray[np.float64]) -> bool:
    """Whether contacts within :data:`CONTACT` connect all atoms, directly or through others.

    Bonds do not matter: a proton may move to another fragment, but no fragment may leave.

    Args:
        positions: (N, 3) Å.
        sums: (N, N) Å from :func:`contact_sums`.
    """
    return not _connected(distances(positions) < CONTACT * sums).any()


def _connected(graph: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    from scipy.sparse.csgraph import connected_components

    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
