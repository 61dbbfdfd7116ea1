"""Monomials, spherical harmonics, and sums without scatter, for :mod:`asteroid.training.lean`."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from e3nn import o3
from e3nn.math import normalize2mom

Tensor = torch.Tensor


class _Gather(torch.autograd.Function):
    """Gather of rows, with an index of the gathered rows of each row for its derivative."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, found: Tensor) -> Tensor:
        ctx.save_for_backward(index, found)
        return values.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        index, found = ctx.saved_tensors
        return collect(gradient, index, found), None, None


class _Collect(torch.autograd.Function):
    """The transpose of :class:`_Gather`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, found: Tensor) -> Tensor:
        ctx.save_for_backward(index, found)
        return values.index_select(0, found.flatten()).view(*found.shape, -1).sum(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        index, found = ctx.saved_tensors
        return gather(gradient, index, found), None, None


def gather(values: Tensor, index: Tensor, found: Tensor) -> Tensor:
    """``values[index]``, with derivatives that gather as well: scattered sums are slow, and random on a GPU.

    Args:
        values: (rows, columns).
        index: (picked,) rows.
        found: (rows, times) where each row stands in ``index``.
    """
    return cast(Tensor, _Gather.apply(values, index, found))  # type: ignore[no-untyped-call]


def collect(values: Tensor, index: Tensor, found: Tensor) -> Tensor:
    """The transpose of :func:`gather`: (picked, columns) summed to (rows, columns)."""
    return cast(Tensor, _Collect.apply(values, index, found))  # type: ignore[no-untyped-call]


class _Split(torch.autograd.Function):
    """Parts of a tensor along one axis."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, sizes: Sequence[int], axis: int) -> tuple[Tensor, ...]:
        ctx.axis = axis
        return tuple(part.contiguous() for part in torch.split(whole, list(sizes), dim=axis))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return join(gradients, ctx.axis), None, None


class _Join(torch.autograd.Function):
    """The inverse of :class:`_Split`."""

    @staticmethod
    def forward(ctx: Any, axis: int, *parts: Tensor) -> Tensor:
        ctx.axis, ctx.sizes = axis, [part.shape[axis] for part in parts]
        return torch.cat(parts, dim=axis)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, *split(gradient, ctx.sizes, ctx.axis)


def split(whole: Tensor, sizes: Sequence[int], axis: int) -> tuple[Tensor, ...]:
    """Like torch's, but its second derivatives join and split as well, where torch's fill tensors with zeros."""
    if len(sizes) == 1:
        return (whole,)
    return cast(tuple[Tensor, ...], _Split.apply(whole, sizes, axis))  # type: ignore[no-untyped-call]


def join(parts: Sequence[Tensor], axis: int) -> Tensor:
    """``torch.cat``, see :func:`split`."""
    return parts[0] if len(parts) == 1 else cast(Tensor, _Join.apply(axis, *parts))  # type: ignore[no-untyped-call]


def products(x: Tensor, degree: int) -> list[Tensor]:
    """Products of 1, 2, … ``degree`` of the rows of x (rows, …): each (products, …), in :func:`product_index`'s order.

    Pairs are x_i x_{i+d}, counted cyclically, for d up to half the rows: those that commute occur once, for an odd
    number of rows. Whole tensors are multiplied; sorted pairs alone would be cut out row by row.

    >>> [p.flatten().tolist() for p in products(torch.tensor([[2.0], [3.0], [5.0]]), 2)]
    [[2.0, 3.0, 5.0], [4.0, 9.0, 25.0, 10.0, 6.0, 15.0]]
    """
    found = [x]
    for order in range(2, degree + 1):
        if order == 2:
            half = range(x.shape[0] // 2 + 1)
            found.append(join([x * (torch.roll(x, d, 0) if d else x) for d in half], 0))
        else:
            found.append((x.unsqueeze(1) * found[-1].unsqueeze(0)).flatten(0, 1))
    return found


def product_index(factors: Sequence[int], rows: int) -> int:
    """Which of the :func:`products` of ``rows`` rows is the product of these rows.

    >>> product_index([2, 0], 3)
    3
    """
    if len(factors) < 2:
        return sum(factors)
    first, second = factors[-2:]
    distance = (first - second) % rows
    if distance > rows // 2:
        first, distance = second, rows - distance
    index = distance * rows + first
    size = rows * (rows // 2 + 1)
    for factor in reversed(factors[:-2]):
        index += factor * size
        size *= rows
    return index


@functools.cache
def harmonics(degree: int) -> Tensor:
    """e3nn's spherical harmonics of a degree, (products of x, y, z of that degree, 2l+1)."""
    generator = torch.Generator().manual_seed(degree)
    points = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    points = points / points.norm(dim=1, keepdim=True)
    values = o3.spherical_harmonics(degree, points, normalize=True, normalization="component")
    if degree == 0:
        return cast(Tensor, values[:1])
    # Some products are equal, and torch's solver is wrong for linearly dependent columns.
    solution = np.linalg.lstsq(products(points.T, degree)[-1].T.numpy(), values.numpy(), rcond=1e-10)[0]
    return torch.from_numpy(np.where(np.abs(solution) < 1e-12, 0.0, solution))


def collapse(coupling: Tensor, factors: int) -> Tensor:
    """A coupling of several equal factors as one of the first factor with the :func:`products` of the others.

    Args:
        coupling: (columns, components, …, components, weights), in double precision.
        factors: how many axes of components there are.

    Returns:
        (weights, columns × components × products).
    """
    columns, components, weights = coupling.shape[0], coupling.shape[1], coupling.shape[-1]
    others = list(itertools.product(range(components), repeat=factors - 1))
    index = [product_index(other, components) for other in others]
    count = products(coupling.new_zeros(components, 1), factors - 1)[-1].shape[0] if factors > 1 else 1
    summed = coupling.new_zeros(columns, components, count, weights)
    flat = coupling.reshape(columns, components, -1, weights)
    summed.index_add_(2, torch.tensor(index, device=coupling.device), flat)
    return summed.reshape(-1, weights).T.contiguous()


@functools.cache
def _silu_factor() -> float:
    """e3nn estimates it with a million random numbers: 10 ms, and not while a graph is traced."""
    return float(normalize2mom(torch.nn.functional.silu).cst)


def silu(x: Tensor) -> Tensor:
    """e3nn's activation: scaled to a second moment of one for normal inputs."""
    return torch.nn.functional.silu(x) * _silu_factor()


def matrices(linear: o3.Linear, weight: Tensor) -> list[Tensor]:
    """The matrix (inputs, outputs) of each irrep that a linear layer puts out; equal irreps follow one another."""
    sizes = [math.prod(ins.path_shape) for ins in linear.instructions]
    found: dict[int, list[Tensor]] = {}
    for ins, part in zip(linear.instructions, split(weight, sizes, 0), strict=True):
        found.setdefault(ins.i_out, []).append(part.view(ins.path_shape) * ins.path_weight)
    return [join(parts, 0) for _, parts in sorted(found.items())]
