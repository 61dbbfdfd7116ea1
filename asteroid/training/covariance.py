"""Kernel of :mod:`asteroid.training.kernel`: neighbourhoods, radial functions, covariances, and sums of kernels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Kind = Literal["gaussian", "matern"]


@dataclass(frozen=True)
class Hyperparameters:
    """Shape of the prior.

    Args:
        length: scale of the descriptor (logarithm of Å) for the whole molecule; times √(m/M) for m of its M distances.
        noise: see :data:`asteroid.training.kernel.NOISES`.
        reach: Å, radius of the neighbourhoods; None for the whole molecule.
        exponent: of the mean distance in the weight of a logarithm; see :data:`asteroid.training.kernel.EXPONENTS`.
    """

    kind: Kind
    length: float
    noise: float
    reach: float | None = None
    exponent: float = 0.0


@dataclass(frozen=True, eq=False)
class Image:
    """Image of a neighbourhood under a permutation: its pairs of atoms, and their 3k coordinates.

    Args:
        part: weight in the kernel; the sum over all images of all neighbourhoods is 1.
    """

    pairs: Indices
    coordinates: Indices
    part: float


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """k atoms whose distances the kernel compares with those of their images, including themselves."""

    pairs: Indices
    coordinates: Indices
    images: list[Image]


def find_neighbourhoods(
    distances: Floats, reach: float | None, permutations: Sequence[tuple[int, ...]]
) -> list[Neighbourhood]:
    """Neighbourhoods: the atoms within the reach (Å) of each atom, or all; equal neighbourhoods are merged.

    Args:
        distances: (N, N) Å, invariant under the permutations.
    """
    atoms = len(distances)
    index = np.zeros((atoms, atoms), dtype=np.int64)
    i, j = np.triu_indices(atoms, 1)
    index[i, j] = index[j, i] = np.arange(len(i))
    within = distances <= (np.inf if reach is None else reach)
    groups = Counter(tuple(np.flatnonzero(near).tolist()) for near in within)
    # The prior variance of a neighbourhood grows with its number of distances.
    shares = {group: count * len(group) * (len(group) - 1) for group, count in groups.items()}
    whole = sum(shares.values())
    found = []
    for group, share in shares.items():
        if share:
            images = Counter(tuple(permutation[atom] for atom in group) for permutation in permutations)
            parts = {image: share / whole * count / len(permutations) for image, count in images.items()}
            found.append(
                Neighbourhood(*_places(group, index), [Image(*_places(g, index), part) for g, part in parts.items()])
            )
    return found


def _places(atoms: Sequence[int], index: Indices) -> tuple[Indices, Indices]:
    """Indices of the pairs and of the coordinates of some atoms."""
    chosen = np.array(atoms)
    i, j = np.triu_indices(len(chosen), 1)
    return index[chosen[i], chosen[j]], (3 * chosen[:, None] + np.arange(3)).ravel()


def radial(hyperparameters: Hyperparameters, squared: Floats) -> tuple[Floats, Floats, Floats]:
    """Kernel k(ρ) of the squared distance ρ of two descriptors, with a = −2 k' and b = 4 k''."""
    length = hyperparameters.length
    if hyperparameters.kind == "gaussian":
        k = np.exp(-0.5 * squared / length**2)
        return k, k / length**2, k / length**4
    r = np.sqrt(5 * squared) / length  # Matérn, ν = 5/2
    decay = np.exp(-r)
    return (1 + r + r**2 / 3) * decay, 5 / (3 * length**2) * (1 + r) * decay, 25 / (3 * length**4) * decay


def scaled(shape: Hyperparameters, near: Neighbourhood, pairs: int) -> Hyperparameters:
    """The shape with the length scale for the number of distances of a neighbourhood, of ``pairs`` in the molecule."""
    return replace(shape, length=shape.length * (len(near.pairs) / pairs) ** 0.5)


OFFSET_VARIANCE = 10.0
"""Prior variance of a constant in the energy, relative to that of the energy, as levels differ by a constant."""


def covariances(
    neighbourhoods: Sequence[Neighbourhood],
    shapes: Sequence[Hyperparameters],
    first: tuple[Floats, Floats],
    second: tuple[Floats, Floats],
) -> Floats:
    """Prior covariances of (energy, gradient) of geometries, without noise: (shapes, (1 + 3N) n, (1 + 3N) m).

    Terms that depend only on the geometries take most of the time for a large molecule, and are shared by the shapes.

    Args:
        shapes: of the same reach and exponent.
        first, second: descriptors (n, pairs) and their derivatives (n, pairs, 3N) in 1/Å; m for the second.
    """
    (x, jacobian), (others, jacobian_there) = first, second
    n, m, c = len(x), len(others), jacobian.shape[2]
    totals = np.zeros((len(shapes), n, c + 1, m, c + 1))
    totals[:, :, 0, :, 0] = OFFSET_VARIANCE
    for near in neighbourhoods:
        here, slopes = x[:, near.pairs], jacobian[:, near.pairs][:, :, near.coordinates]
        rows = slopes.transpose(0, 2, 1).reshape(n * len(near.coordinates), -1)
        lengths = [scaled(shape, near, x.shape[1]) for shape in shapes]
        for image in near.images:
            # In ascending order, so that the coordinates of the whole molecule are a slice.
            coordinates = np.sort(image.coordinates)
            y, permuted = others[:, image.pairs], jacobian_there[:, image.pairs][:, :, coordinates]
            difference = here[:, None] - y[None]
            squared = np.square(difference).sum(-1)
            u = difference @ slopes  # (n, m, 3k): along the gradient of the first configuration
            v = np.einsum("jid,jdc->ijc", difference.transpose(1, 0, 2), permuted, optimize=True)
            products = rows @ permuted.transpose(1, 0, 2).reshape(len(image.pairs), -1)
            products = products.reshape(n, len(near.coordinates), m, -1)
            whole = len(coordinates) == c
            here_and_there = np.ix_(np.arange(n), 1 + near.coordinates, np.arange(m), 1 + coordinates)
            for total, shape in zip(totals, lengths, strict=True):
                k, a, b = (image.part * factor for factor in radial(shape, squared))
                hessian = products * a[:, None, :, None]
                hessian -= (b[..., None] * u).transpose(0, 2, 1)[..., None] * v[:, None]
                total[:, 0, :, 0] += k
                total[:, 0, :, 1 + coordinates] += (a[..., None] * v).transpose(2, 0, 1)
                total[:, 1 + near.coordinates, :, 0] -= (a[..., None] * u).transpose(2, 0, 1)
                if whole:
                    total[:, 1:, :, 1:] += hessian
                else:
                    total[here_and_there] += hessian
    return totals.reshape(len(shapes), n * (c + 1), m * (c + 1))


Expansion = list[tuple[Indices, Hyperparameters, list[tuple[Floats, Floats, Floats]]]]
"""A sum of kernels: for each neighbourhood its pairs and shape, and for each image the descriptors of the known
geometries with the coefficients of gradients and energies."""


def expand(
    neighbourhoods: Sequence[Neighbourhood], shape: Hyperparameters, x: Floats, jacobian: Floats, coefficients: Floats
) -> Expansion:
    """The sum of the kernels of some geometries, with (geometries, 1 + 3N) coefficients of energy and gradient."""
    pulls = np.einsum("ndc,nc->nd", jacobian, coefficients[:, 1:])
    return [
        (
            near.pairs,
            scaled(shape, near, x.shape[1]),
            [(x[:, i.pairs], i.part * pulls[:, i.pairs], i.part * coefficients[:, 0]) for i in near.images],
        )
        for near in neighbourhoods
    ]


def evaluate(expansion: Expansion, x: Floats, jacobian: Floats) -> tuple[Floats, Floats]:
    """Energies (n,) and forces (n, N, 3) of a sum of kernels."""
    energy, gradient = np.zeros(len(x)), np.zeros_like(x)
    for pairs, shape, images in expansion:
        near, inner = x[:, pairs], np.zeros((len(x), len(pairs)))
        for y, weights, energy_weights in images:
            squared = np.maximum(np.square(near).sum(1)[:, None] + np.square(y).sum(1) - 2 * near @ y.T, 0)
            k, a, b = radial(shape, squared)
            along = near @ weights.T - (y * weights).sum(1)
            energy += k @ energy_weights + (a * along).sum(1)
            pull = b * along + a * energy_weights
            inner += a @ weights - (pull.sum(1)[:, None] * near - pull @ y)
        gradient[:, pairs] += inner
    return energy, -np.einsum("nd,ndc->nc", gradient, jacobian).reshape(len(x), -1, 3)
