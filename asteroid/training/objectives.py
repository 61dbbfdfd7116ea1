"""Loss functions of trainings, chosen by the recipe and minimised by :mod:`asteroid.training.fit`.

An objective is a function of model and batch that returns a scalar. It uses plain torch operations, so that it can be
traced.

:class:`LabelLoss` compares with labels. Score matching, in three forms, needs none: for configurations from the
Boltzmann distribution p of a level at the temperature T, the forces are F = k_B T ∇ log p. Integration by parts turns
the expected |F_model − F|² into |F_model|² + 2 k_B T ∇·F_model plus a constant, without p (Hyvärinen, JMLR 6 (2005)
695; Bukharin et al., arXiv 2306.03109). Up to this constant they are squared force errors on the scale of
:class:`LabelLoss`, and mostly negative.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from asteroid.units import BOLTZMANN

Tensors = Mapping[str, torch.Tensor]

Model = Callable[[Tensors], Mapping[str, torch.Tensor]]
"""Maps a batch to ``energy`` (graphs,) and ``forces`` (atoms, 3), differentiable in positions and parameters."""


class Objective(Protocol):
    """A loss over a batch."""

    @property
    def needs_noise(self) -> bool:
        """Whether it needs ``batch["noise"]``, (atoms, 3) standard normal numbers, new at each step."""
        ...

    def __call__(self, model: Model, batch: Tensors) -> torch.Tensor: ...


@dataclass(frozen=True)
class LabelLoss:
    """MACE's ``WeightedEnergyForcesLoss``: squared errors of energies per atom and of forces.

    Each graph has a ``weight``, of mean 1 over the training set, and each atom an ``atom_weight`` for its force; labels
    without forces have a ``forces_weight`` of 0.
    """

    energy_weight: float
    forces_weight: float
    needs_noise: bool = False

    def __call__(self, model: Model, batch: Tensors) -> torch.Tensor:
        output = model(batch)
        graph = batch["batch"]
        atoms = (batch["ptr"][1:] - batch["ptr"][:-1]).to(batch["energy"].dtype)
        energy = batch["weight"] * batch["energy_weight"] * ((batch["energy"] - output["energy"]) / atoms) ** 2
        weight = (batch["weight"] * batch["forces_weight"])[graph] * batch["atom_weight"]
        forces = weight.unsqueeze(-1) * (batch["forces"] - output["forces"]) ** 2
        return self.energy_weight * energy.mean() + self.forces_weight * forces.mean()


@dataclass(frozen=True)
class ExactScoreMatching:
    """|F|² + 2 k_B T ∇·F with the exact trace: 3N second derivatives per step, and the least noise.

    Args:
        forces_weight: as in :class:`LabelLoss`.
        atoms: of the largest graph.
    """

    forces_weight: float
    atoms: int
    needs_noise: bool = False

    def __call__(self, model: Model, batch: Tensors) -> torch.Tensor:
        positions, forces = _differentiable_forces(model, batch)
        place = torch.arange(len(positions), device=positions.device) - batch["ptr"][batch["batch"]]
        divergence = torch.zeros_like(forces)
        for atom, axis in itertools.product(range(self.atoms), range(3)):
            # Graphs are independent, so one derivative gives the same coordinate of all of them.
            coordinate = (place == atom).unsqueeze(-1) & (torch.arange(3, device=positions.device) == axis)
            divergence = divergence + _slice(positions, forces, coordinate.to(forces.dtype))
        return self.forces_weight * _mean(batch, forces**2 + 2 * _thermal_energy(batch) * divergence)


@dataclass(frozen=True)
class SlicedScoreMatching:
    """|F|² + 2 k_B T v·(∂F/∂x)v: the trace estimated along one random direction v per step (Hutchinson).

    Song, Garg, Shi and Ermon, arXiv 1905.07088. Components of v are −1 or 1, which gives the smallest variance.

    Args:
        forces_weight: as in :class:`LabelLoss`.
    """

    forces_weight: float
    needs_noise: bool = True

    def __call__(self, model: Model, batch: Tensors) -> torch.Tensor:
        positions, forces = _differentiable_forces(model, batch)
        direction = torch.where(batch["noise"] < 0, -1.0, 1.0).to(forces.dtype)
        divergence = _slice(positions, forces, direction)
        return self.forces_weight * _mean(batch, forces**2 + 2 * _thermal_energy(batch) * divergence)


@dataclass(frozen=True)
class DenoisingScoreMatching:
    """Forces at positions with added Gaussian noise ε, fitted to −k_B T ε/σ²; no second derivatives.

    Vincent, Neural Comput. 23 (2011) 1661. Three things differ from plain least squares; they do not change the
    minimum:

    - The square of the target, a constant that diverges as σ → 0, is left out.
    - Positions are displaced by ε and by −ε. The product of forces and target is then a difference quotient, whose
    noise
      stays finite as σ → 0; with single displacements it grows as 1/σ.
    - Translations and rotations stay in ε and target. Forces of a model have no net force and torque, so those parts of
      the target are multiplied by zero; without rotations the noise would not be Gaussian, and the target wrong.

    The learnt forces are those of p blurred by σ: the force constant k of an oscillator becomes
    k_B T / (k_B T / k + σ²).

    Args:
        forces_weight: as in :class:`LabelLoss`.
        width: σ in Å.
    """

    forces_weight: float
    width: float
    needs_noise: bool = True

    def __call__(self, model: Model, batch: Tensors) -> torch.Tensor:
        displacement = self.width * batch["noise"]
        forward, backward = (
            model({**batch, "positions": batch["positions"] + sign * displacement})["forces"] for sign in (1, -1)
        )
        target = -_thermal_energy(batch) * displacement / self.width**2
        return self.forces_weight * _mean(batch, (forward**2 + backward**2) / 2 - target * (forward - backward))


def _differentiable_forces(model: Model, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and forces, differentiable with respect to these positions."""
    positions = batch["positions"].detach().requires_grad_(True)
    return positions, model({**batch, "positions": positions})["forces"]


def _slice(positions: torch.Tensor, forces: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Terms of v·(∂F/∂x)v along the direction v, (atoms, 3), to be summed over each graph."""
    derivative: torch.Tensor = torch.autograd.grad((forces * direction).sum(), positions, create_graph=True)[0]
    return derivative * direction


def _thermal_energy(batch: Tensors) -> torch.Tensor:
    """k_B T of each atom's graph, (atoms, 1) eV, from the temperatures (graphs,) in K."""
    return (BOLTZMANN * batch["temperature"])[batch["batch"]].unsqueeze(-1)


def _mean(batch: Tensors, terms: torch.Tensor) -> torch.Tensor:
    """Mean of terms (atoms, 3) with the weights of their graphs."""
    return (batch["weight"][batch["batch"]].unsqueeze(-1) * terms).mean()
