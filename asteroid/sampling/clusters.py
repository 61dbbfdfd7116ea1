"""Starting structures of clusters: fragments in contact, in several relative orientations.

RDKit embeds each fragment by itself; together it would place them hundreds of Å apart. Here they are rotated at random
and moved together along random directions until the closest atoms touch. :mod:`asteroid.sampling.conformers` optimises
these structures at the cheap level.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.fragments import contact_sums

Floats = npt.NDArray[np.float64]

TOUCH = 0.9
"""Closest atoms are placed at this times the sum of their van der Waals radii: hydrogen bonds are shorter, stacked
rings a little farther apart."""


def place(fragments: Sequence[tuple[npt.NDArray[np.int64], Sequence[Floats]]], *, seed: int) -> list[Floats]:
    """Positions of each fragment, (n, 3) Å, so that each touches one that was placed before it.

    Args:
        fragments: atomic numbers (n,) of each, and positions (n, 3) Å of its conformers, one of which is drawn.

    >>> first, second = place([(np.array([2]), [np.zeros((1, 3))])] * 2, seed=0)
    >>> round(float(np.linalg.norm(first - second)), 2)  # 0.9 times twice the radius of helium, 1.43 Å
    2.57
    """
    rng = np.random.default_rng(seed)
    placed: list[Floats] = []
    numbers: list[npt.NDArray[np.int64]] = []
    for own, conformers in fragments:
        shape = conformers[int(rng.integers(len(conformers)))]
        turned = (shape - shape.mean(axis=0)) @ _rotation(rng).T
        if placed:
            there = np.concatenate(placed)
            sums = contact_sums(np.concatenate([*numbers, own]))[: len(there), len(there) :]
            turned = turned + there.mean(axis=0)
            turned = _touching(there, turned, TOUCH * sums, rng)
        placed.append(turned)
        numbers.append(own)
    return placed


def _touching(there: Floats, coming: Floats, sums: Floats, rng: np.random.Generator) -> Floats:
    """``coming`` moved inwards along a random line until the first pair of atoms is ``sums`` apart."""
    apart = coming[None, :] - there[:, None]
    while True:
        direction = rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        # For each pair, the farther intersection of a line and a sphere.
        along = apart @ direction
        under = along**2 - (apart**2).sum(axis=-1) + sums**2
        if (under >= 0).any():
            return coming + float((np.sqrt(under[under >= 0]) - along[under >= 0]).max()) * direction


def _rotation(rng: np.random.Generator) -> Floats:
    """(3, 3), uniform among rotations."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    return np.asarray(q)
