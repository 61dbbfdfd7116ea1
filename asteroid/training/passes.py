"""Forward pass, loss and gradient of a batch.

Models with the blocks of MACE's training script use :mod:`asteroid.training.lean`, traced if there are enough steps. It
needs batches of one composition, so frames of each composition form a :class:`Group`, and the batch of a step is from
one group. Other models use MACE's own forward pass, with one group. Used by :mod:`asteroid.training.fit`.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch

from asteroid.training.dataset import Graph, by_composition, collate, shuffled
from asteroid.training.lean import LeanMACE, Unsupported
from asteroid.training.model import model_cutoff
from asteroid.training.objectives import ExactScoreMatching, Objective
from asteroid.training.stacked import Stacked
from asteroid.training.traced import Function, trace

logger = logging.getLogger(__name__)

Tensor = torch.Tensor
Integers = npt.NDArray[np.int64]
Batch = Mapping[str, Tensor]

TRACE_FROM = 400
"""Number of steps from which tracing pays: it takes 4 s and saves 12 to 15 ms per step (batches of 20 frames of
formaldehyde or 5 of acetylacetone, one thread)."""

MARGIN = 1.0
"""Å added to the cutoff of neighbour lists where an objective displaces the atoms."""


class Frames(Protocol):
    """Frames to make batches of."""

    def __len__(self) -> int: ...

    def batch(self, indices: npt.ArrayLike) -> Batch: ...


class Forward(Protocol):
    """Energies and forces of a batch, if possible with given parameters instead of the model's own."""

    def __call__(self, parameters: Mapping[str, Tensor], batch: Batch, *, training: bool) -> Mapping[str, Tensor]: ...


class Collated:
    """Frames of any molecules, in MACE's batches."""

    def __init__(self, graphs: Sequence[Graph], device: torch.device) -> None:
        self._graphs = graphs
        self._device = device

    def __len__(self) -> int:
        return len(self._graphs)

    def batch(self, indices: npt.ArrayLike) -> Batch:
        return cast(Batch, collate([self._graphs[i] for i in np.asarray(indices)]).to(self._device).to_dict())


@dataclass(frozen=True)
class Group:
    """Frames for the same forward pass.

    Args:
        traceable: whether their steps can be traced.
    """

    forward: Forward
    traceable: bool
    frames: Frames

    def batches(self, size: int) -> Iterator[Batch]:
        """All frames in order, in batches of at most ``size``."""
        for start in range(0, len(self.frames), size):
            yield self.frames.batch(np.arange(start, min(start + size, len(self.frames))))


def prepare(model: torch.nn.Module, *parts: Sequence[Graph], displaced: bool = False) -> list[list[Group]]:
    """Groups of each part of the graphs, with the fastest forward pass for the model.

    Args:
        displaced: whether an objective displaces the atoms.
    """
    device = next(model.parameters()).device
    reach = model_cutoff(model) + (MARGIN if displaced else 0.0)
    known: dict[tuple[int, ...], LeanMACE] = {}

    def lean(graphs: Sequence[Graph], members: Integers) -> Group:
        frames = Stacked.of_graphs([graphs[i] for i in members], device, reach)
        species = tuple(frames.species)
        if species not in known:
            known[species] = LeanMACE(model, species)
        return Group(known[species], True, frames)

    try:
        return [[lean(part, members) for members in by_composition(map(_species, part))] for part in parts]
    except Unsupported as reason:
        logger.info("MACE's own forward pass, several times slower, is used for %s", reason)

    def forward(parameters: Mapping[str, Tensor], batch: Batch, *, training: bool) -> Mapping[str, Tensor]:
        return cast(Mapping[str, Tensor], model(dict(batch), training=training))

    return [[Group(forward, False, Collated(part, device))] for part in parts]


def _species(graph: Graph) -> tuple[int, ...]:
    return tuple(sorted(graph.node_attrs.argmax(1).tolist()))


def schedule(sizes: Sequence[int], batch_size: int, step: int, seed: int) -> tuple[int, Integers]:
    """Group and frames of the batch of a step.

    Each epoch takes the batches of all groups in a new random order, so all frames count equally. Depends on the step
    alone, so that a resumed training has the same batches. An incomplete last batch of a group is left out of its
    epoch.

    Args:
        sizes: number of frames in each group.
    """
    if len(sizes) == 1:
        return 0, shuffled(sizes[0], batch_size, step, seed)
    counts = [size // min(batch_size, size) for size in sizes]
    epoch, position = divmod(step, sum(counts))
    group, batch = [(g, k) for g, count in enumerate(counts) for k in range(count)][
        np.random.default_rng((seed, epoch)).permutation(sum(counts))[position]
    ]
    return group, shuffled(sizes[group], batch_size, epoch * counts[group] + batch, seed)


class Gradient:
    """The loss of a batch and its gradient with respect to a model's parameters.

    Args:
        traced: whether to trace the passes; for batches of one shape.
    """

    def __init__(self, model: torch.nn.Module, forward: Forward, objective: Objective, *, traced: bool) -> None:
        self._forward = forward
        self._objective = objective
        self._parameters = dict(model.named_parameters())
        self._wanted = [name for name, parameter in self._parameters.items() if parameter.requires_grad]
        # Tracing 3N second derivatives takes a minute for water, and hours for larger molecules.
        self._traced = traced and not isinstance(objective, ExactScoreMatching)
        self._run: Function | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """The loss; gradients are stored in the parameters."""
        if self._traced and self._run is None:
            self._trace(batch)
        if self._run is None:
            loss, gradients = self._differentiate(self._parameters, batch)
        else:
            loss, *gradients = self._run(*self._parameters.values(), *batch.values())
        for name, gradient in zip(self._wanted, gradients, strict=True):
            self._parameters[name].grad = gradient
        return loss

    def _differentiate(self, parameters: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, Sequence[Tensor | None]]:
        loss = self._objective(lambda inputs: self._forward(parameters, inputs, training=True), batch)
        wanted = [parameters[name] for name in self._wanted]
        return loss.detach(), torch.autograd.grad(loss, wanted, allow_unused=True)

    def _trace(self, batch: Batch) -> None:
        """Trace the passes; parameters without a gradient are left out."""
        names, keys = list(self._parameters), list(batch)
        _, gradients = self._differentiate(self._parameters, batch)
        self._wanted = [n for n, gradient in zip(self._wanted, gradients, strict=True) if gradient is not None]

        def function(*tensors: Tensor) -> list[Tensor]:
            parameters = dict(zip(names, tensors, strict=False))
            loss, gradients = self._differentiate(parameters, dict(zip(keys, tensors[len(names) :], strict=True)))
            return [loss, *cast(Sequence[Tensor], gradients)]

        try:
            self._run = trace(function, *self._parameters.values(), *batch.values())
        except Exception as error:  # torch's tracers raise anything, and tracing is optional
            self._traced = False
            logger.info("steps are not traced, so they are slower: %s", str(error).partition("\n")[0])
