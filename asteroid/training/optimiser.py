"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., arXiv 2409.11321), for the weights of MACE.

MACE's weights are many small matrices, some flattened by e3nn. As matrices they are cheap to precondition from both
sides, and training needs less than half of Adam's steps for the same error. Matrices of one shape form a batch, so a
step costs a few dozen operations. Used by :mod:`asteroid.training.fit`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from e3nn import o3

Tensor = torch.Tensor

MOMENTUM = 0.95
SECOND_MOMENT = 0.95
PRECONDITIONER = 0.95
"""Decay of the moving averages of the gradient, of its square in the eigenbasis, and of its outer products."""

REFRESH = 10
"""Steps between updates of the eigenbasis, by one step of subspace iteration."""

EPSILON = 1e-8

LARGEST_SIDE = 128
"""Longer sides of matrices are not preconditioned: their eigenvectors would cost more than the rest of the step."""


class Soap:
    """Updates the parameters of a model in place from their gradients.

    Args:
        parameters: trained parameters.
        model: its layers define which parts of flat parameters are matrices.
        learning_rate: of the next step; may be changed.
    """

    def __init__(self, model: torch.nn.Module, parameters: Sequence[Tensor], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._parameters: list[Tensor] = list(parameters)
        self._sizes = [parameter.numel() for parameter in parameters]
        device = parameters[0].device
        blocks = _blocks(model, self._parameters)
        self._groups = [_Group.new(shape, torch.stack(index).to(device), parameters[0]) for shape, index in blocks]
        # Index of each flat parameter in the concatenated updates of the groups.
        order = torch.cat([group.index.flatten() for group in self._groups])
        self._order = torch.argsort(order)
        self._steps = 0

    @torch.no_grad()
    def step(self) -> None:
        """Take one step; the first only sets up the eigenbases."""
        gradient = torch.cat([_gradient(parameter) for parameter in self._parameters])
        if self._steps == 0 and not torch.isfinite(gradient).all():
            # There is no eigenbasis of a non-finite gradient; fit() reports the loss.
            return
        self._steps += 1
        updates = [group.update(gradient[group.index], self._steps).flatten() for group in self._groups]
        if self._steps == 1:
            return
        flat = torch.cat(updates)[self._order]
        parts = torch.split(flat, self._sizes)
        changes = [part.view_as(p) for part, p in zip(parts, self._parameters, strict=True)]
        torch._foreach_add_(self._parameters, changes, alpha=-self.learning_rate)

    def state(self) -> dict[str, Any]:
        """Complete state, for :meth:`load`."""
        return {"steps": self._steps, "groups": [group.tensors() for group in self._groups]}

    def load(self, state: dict[str, Any]) -> None:
        """Restore a :meth:`state`."""
        self._steps = state["steps"]
        for group, tensors in zip(self._groups, state["groups"], strict=True):
            for name, tensor in group.tensors().items():
                tensor.copy_(tensors[name])


@dataclass
class _Group:
    """Matrices of one shape, (count, rows, columns), and their moments; a side without a basis is not rotated."""

    index: Tensor
    momentum: Tensor
    square: Tensor
    left: Tensor | None
    right: Tensor | None
    left_basis: Tensor | None
    right_basis: Tensor | None

    @classmethod
    def new(cls, shape: tuple[int, int], index: Tensor, like: Tensor) -> "_Group":
        rows, columns = shape
        index = index.view(-1, rows, columns)

        def square(side: int) -> Tensor | None:
            wanted = 1 < side <= LARGEST_SIDE and min(shape) > 1
            return like.new_zeros(len(index), side, side) if wanted else None

        zeros = torch.zeros(index.shape, dtype=like.dtype, device=like.device)
        return cls(index, zeros, zeros.clone(), square(rows), square(columns), square(rows), square(columns))

    def tensors(self) -> dict[str, Tensor]:
        found = {name: getattr(self, name) for name in ("momentum", "square", "left", "right")}
        found |= {name: getattr(self, name) for name in ("left_basis", "right_basis")}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def update(self, gradient: Tensor, step: int) -> Tensor:
        """Change of the parameters per learning rate."""
        if step == 1:
            # Not part of the momentum, as it is not part of the averaged squares: if the next batch had no gradient for
            # some element, the step would be millions of times too long.
            self._start(gradient)
            return gradient
        self.momentum.lerp_(gradient, 1 - MOMENTUM)
        self.square.lerp_(self._turn(gradient).square(), 1 - SECOND_MOMENT)
        scale = (self.square / (1 - SECOND_MOMENT ** (step - 1))).sqrt() + EPSILON
        change = self._turn_back(self._turn(self.momentum) / scale) / (1 - MOMENTUM ** (step - 1))
        if self.left is not None:
            self.left.lerp_(gradient @ gradient.mT, 1 - PRECONDITIONER)
        if self.right is not None:
            self.right.lerp_(gradient.mT @ gradient, 1 - PRECONDITIONER)
        if step % REFRESH == 0:
            self._refresh()
        return change

    def _turn(self, matrices: Tensor) -> Tensor:
        if self.left_basis is not None:
            matrices = self.left_basis.mT @ matrices
        return matrices if self.right_basis is None else matrices @ self.right_basis

    def _turn_back(self, matrices: Tensor) -> Tensor:
        if self.left_basis is not None:
            matrices = self.left_basis @ matrices
        return matrices if self.right_basis is None else matrices @ self.right_basis.mT

    def _start(self, gradient: Tensor) -> None:
        if self.left is not None and self.left_basis is not None:
            self.left.copy_(gradient @ gradient.mT)
            self.left_basis.copy_(torch.linalg.eigh(self.left)[1])
        if self.right is not None and self.right_basis is not None:
            self.right.copy_(gradient.mT @ gradient)
            self.right_basis.copy_(torch.linalg.eigh(self.right)[1])

    def _refresh(self) -> None:
        if self.left is not None and self.left_basis is not None:
            order = _rotate(self.left, self.left_basis)
            self.square.copy_(torch.gather(self.square, 1, order.unsqueeze(2).expand_as(self.square)))
        if self.right is not None and self.right_basis is not None:
            order = _rotate(self.right, self.right_basis)
            self.square.copy_(torch.gather(self.square, 2, order.unsqueeze(1).expand_as(self.square)))


def _rotate(matrices: Tensor, basis: Tensor) -> Tensor:
    """One step of subspace iteration of ``basis`` in place; returns the order, by eigenvalue, of its old columns."""
    order = torch.einsum("bij,bik,bkj->bj", basis, matrices, basis).argsort(-1, descending=True)
    ordered = torch.gather(basis, 2, order.unsqueeze(1).expand_as(basis))
    basis.copy_(torch.linalg.qr(matrices @ ordered)[0])
    return order


def _gradient(parameter: Tensor) -> Tensor:
    return (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad).flatten()


def _blocks(model: torch.nn.Module, parameters: Sequence[Tensor]) -> list[tuple[tuple[int, int], list[Tensor]]]:
    """Indices into the flat parameters of the matrices of each shape; vectors are matrices with one row."""
    shapes = {id(parameter): shape for parameter, shape in _flattened(model)}
    found: dict[tuple[int, int], list[Tensor]] = {}
    start = 0
    for parameter in parameters:
        if id(parameter) in shapes:
            matrices = shapes[id(parameter)]
        elif parameter.dim() > 1:
            rows, columns = parameter.shape[-2:]
            matrices = [(rows, columns)] * (parameter.numel() // (rows * columns))
        else:
            matrices = [(1, parameter.numel())]
        for rows, columns in matrices:
            if rows * columns:
                index = torch.arange(start, start + rows * columns)
                found.setdefault((rows, columns), []).append(index)
                start += rows * columns
    return list(found.items())


def _flattened(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Parameter, list[tuple[int, int]]]]:
    """e3nn's flat weights and the shapes of their matrices: inputs (times elements) to outputs."""
    for module in model.modules():
        if isinstance(module, o3.Linear | o3.TensorProduct) and isinstance(module.weight, torch.nn.Parameter):
            # All paths of a linear layer have weights.
            paths = [path for path in module.instructions if getattr(path, "has_weight", True)]
            matrices = [(math.prod(path.path_shape[:-1]), path.path_shape[-1]) for path in paths]
            if sum(rows * columns for rows, columns in matrices) == module.weight.numel():
                yield module.weight, matrices
