"""What a training computes from a batch: energies and forces, the loss, and its gradient.

For one molecule and the blocks of MACE's training script this is :mod:`asteroid.training.lean`, traced when there are
steps enough; for anything else it is MACE's own forward pass. :mod:`asteroid.training.fit` takes steps with it.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch

from asteroid.training.dataset import Graph, collate
from asteroid.training.lean import LeanMACE, Unsupported
from asteroid.training.model import model_cutoff
from asteroid.training.objectives import ExactScoreMatching, Objective
from asteroid.training.stacked import Stacked
from asteroid.training.traced import Function, trace

logger = logging.getLogger(__name__)

Tensor = torch.Tensor
Batch = Mapping[str, Tensor]

TRACE_FROM = 400
"""Steps for which tracing pays: it takes 4 s and saves 12 to 15 ms a step (batches of 20 formaldehydes or
5 acetylacetones, one thread)."""

MARGIN = 1.0
"""Å beyond the cutoff up to which neighbours are listed where an objective displaces the atoms."""


class Frames(Protocol):
    """Frames to make batches of."""

    def __len__(self) -> int: ...

    def batch(self, indices: npt.ArrayLike) -> Batch: ...


class Forward(Protocol):
    """Energies and forces of a batch, with other parameters than the model's own where it can."""

    def __call__(self, parameters: Mapping[str, Tensor], batch: Batch, *, training: bool) -> Mapping[str, Tensor]: ...


class Collated:
    """Frames of any molecules, as MACE batches them."""

    def __init__(self, graphs: Sequence[Graph], device: torch.device) -> None:
        self._graphs = graphs
        self._device = device

    def __len__(self) -> int:
        return len(self._graphs)

    def batch(self, indices: npt.ArrayLike) -> Batch:
        return cast(Batch, collate([self._graphs[i] for i in np.asarray(indices)]).to(self._device).to_dict())


def prepare(
    model: torch.nn.Module, *parts: Sequence[Graph], displaced: bool = False
) -> tuple[Forward, bool, list[Frames]]:
    """The fastest way to compute this model on these graphs, whether it can be traced, and the graphs' frames.

    Args:
        displaced: whether an objective displaces the atoms.
    """
    device = next(model.parameters()).device
    try:
        reach = model_cutoff(model) + (MARGIN if displaced else 0.0)
        stacked = [Stacked.of_graphs(part, device, reach) for part in parts]
        species = stacked[0].species
        if any(part.species != species for part in stacked):
            raise Unsupported("molecules of several compositions")
        return LeanMACE(model, species), True, list(stacked)
    except Unsupported as reason:
        logger.info("MACE's own forward pass, several times slower, is used for %s", reason)

    def forward(parameters: Mapping[str, Tensor], batch: Batch, *, training: bool) -> Mapping[str, Tensor]:
        return cast(Mapping[str, Tensor], model(dict(batch), training=training))

    return forward, False, [Collated(part, device) for part in parts]


class Gradient:
    """The loss of a batch and its gradient with respect to a model's parameters.

    Args:
        traced: whether to trace the passes, which is for batches of one shape.
    """

    def __init__(self, model: torch.nn.Module, forward: Forward, objective: Objective, *, traced: bool) -> None:
        self._forward = forward
        self._objective = objective
        self._parameters = dict(model.named_parameters())
        self._wanted = [name for name, parameter in self._parameters.items() if parameter.requires_grad]
        # 3N second derivatives take a minute to trace for water, and hours for larger molecules.
        self._traced = traced and not isinstance(objective, ExactScoreMatching)
        self._run: Function | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """The loss; gradients are left where torch's optimisers look for them."""
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
        """Trace the passes; those parameters are no longer wanted of which the loss is no function."""
        names, keys = list(self._parameters), list(batch)
        _, gradients = self._differentiate(self._parameters, batch)
        self._wanted = [n for n, gradient in zip(self._wanted, gradients, strict=True) if gradient is not None]

        def function(*tensors: Tensor) -> list[Tensor]:
            parameters = dict(zip(names, tensors, strict=False))
            loss, gradients = self._differentiate(parameters, dict(zip(keys, tensors[len(names) :], strict=True)))
            return [loss, *cast(Sequence[Tensor], gradients)]

        try:
            self._run = trace(function, *self._parameters.values(), *batch.values())
        except Exception as error:  # torch's tracers raise anything, and a training can do without them
            self._traced = False
            logger.info("steps are not traced, which makes them slower: %s", str(error).partition("\n")[0])
