"""What a stage minimises. :mod:`asteroid.training.fit` differentiates it; a recipe picks it.

An objective is called with the model, a batch and noise, and returns a scalar to minimise. It is written in plain torch
operations, so that the same code runs eagerly and is traced into a compiled graph.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

Tensors = Mapping[str, torch.Tensor]

Model = Callable[[Tensors], Mapping[str, torch.Tensor]]
"""A batch to ``energy`` (graphs,) and ``forces`` (atoms, 3), both differentiable in positions and parameters."""


class Objective(Protocol):
    """A loss over a batch."""

    @property
    def needs_noise(self) -> bool:
        """Whether ``batch["noise"]``, (atoms, 3) standard normal and new at each step, must be there."""
        ...

    def __call__(self, model: Model, batch: Tensors) -> torch.Tensor: ...


@dataclass(frozen=True)
class LabelLoss:
    """MACE's ``WeightedEnergyForcesLoss``: squares of the energy error per atom and of the force error.

    Each graph counts with its ``weight``, of mean 1 over the training set; a label that lacks forces has a
    ``forces_weight`` of 0.
    """

    energy_weight: float
    forces_weight: float
    needs_noise: bool = False

    def __call__(self, model: Model, batch: Tensors) -> torch.Tensor:
        output = model(batch)
        graph = batch["batch"]
        atoms = (batch["ptr"][1:] - batch["ptr"][:-1]).to(batch["energy"].dtype)
        energy = batch["weight"] * batch["energy_weight"] * ((batch["energy"] - output["energy"]) / atoms) ** 2
        weight = (batch["weight"] * batch["forces_weight"])[graph].unsqueeze(-1)
        forces = weight * (batch["forces"] - output["forces"]) ** 2
        return self.energy_weight * energy.mean() + self.forces_weight * forces.mean()
