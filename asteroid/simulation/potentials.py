"""Energies and forces of all replicas of a molecule in one pass, for TorchSim's integrators.

MACE models of a suitable architecture use :mod:`asteroid.training.lean`: all atoms are neighbours of each other, so
that shapes never change and the pass can be traced. Other MACE models use TorchSim's wrapper, and other ASE calculators
(such as a Δ-model) compute one replica after another.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mace.calculators import MACECalculator
from torch_sim.models.interface import ModelInterface
from torch_sim.models.mace import MaceModel

from asteroid.chemistry.wall import Wall
from asteroid.configuration import Configuration
from asteroid.training.lean import LeanMACE, Unsupported
from asteroid.training.model import model_elements
from asteroid.training.stacked import Stacked
from asteroid.training.traced import Function, trace

logger = logging.getLogger(__name__)

TRACE_FROM = 500
"""Number of steps from which tracing pays: it takes 2 to 4 s and saves 8 to 20 ms per step (1 to 64 replicas, one
thread)."""


class Potential(ModelInterface):  # type: ignore[misc]  # torch_sim has no types
    """Energies and forces of replicas of one molecule, which are consecutive in TorchSim's state.

    Attributes:
        failures: reasons of failures in the last pass, by replica; their energies and forces are NaN.
        fixed: whether another number of replicas needs a new, costly potential.
    """

    fixed = False

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self._device, self._dtype = device, dtype
        self._compute_stress, self._compute_forces = False, True
        self.failures: dict[int, str] = {}


class LeanPotential(Potential):
    """A MACE model computed by :class:`~asteroid.training.lean.LeanMACE`.

    Args:
        numbers: (N,) atomic numbers of the molecule.
        replicas: number of replicas.
        traced: whether to trace the pass.

    Raises:
        Unsupported: for other architectures and for single atoms.
    """

    def __init__(self, module: torch.nn.Module, numbers: Sequence[int], *, replicas: int, traced: bool) -> None:
        like = next(module.parameters())
        super().__init__(like.device, like.dtype)
        place = {number: index for index, number in enumerate(model_elements(module))}
        species = np.tile([place[int(z)] for z in numbers], (replicas, 1))
        nowhere = torch.zeros(*species.shape, 3, dtype=like.dtype, device=like.device)
        frames = Stacked(species, {"positions": nowhere}, float("inf"))
        batch = frames.batch(np.arange(replicas))
        self._structure = {key: value for key, value in batch.items() if key != "positions"}
        atoms = (np.arange(replicas)[:, None] * species.shape[1] + frames.order).ravel()
        self._order = torch.from_numpy(atoms).to(like.device)
        self._back = torch.from_numpy(np.argsort(atoms)).to(like.device)
        self._lean = LeanMACE(module, frames.species)
        self._parameters = {name: parameter.detach() for name, parameter in module.named_parameters()}
        self._run: Function | None = None
        self._traced = self.fixed = traced

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        positions = state.positions.index_select(0, self._order)
        if self._traced and self._run is None:
            self._trace(positions)
        energy, forces = (self._run or self._pass)(positions)
        return {"energy": energy, "forces": forces.index_select(0, self._back)}

    def _pass(self, positions: torch.Tensor) -> list[torch.Tensor]:
        output = self._lean(self._parameters, {**self._structure, "positions": positions}, training=False)
        return [output["energy"], output["forces"]]

    def _trace(self, positions: torch.Tensor) -> None:
        try:
            # Not the bound method: the tracer would count self as an argument.
            self._run = trace(lambda x: self._pass(x), positions.clone().requires_grad_(True))
        except Exception as error:  # torch's tracers raise anything, and tracing is optional
            self._traced = self.fixed = False
            logger.info("MD steps are not traced, so they are slower: %s", str(error).partition("\n")[0])


class ModulePotential(Potential):
    """A MACE model of any architecture with TorchSim's wrapper; several times slower."""

    def __init__(self, module: torch.nn.Module) -> None:
        like = next(module.parameters())
        super().__init__(like.device, like.dtype)
        self._model = MaceModel(module, device=like.device, dtype=like.dtype, compute_stress=False)

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        output: dict[str, torch.Tensor] = self._model(state)
        return output


class CalculatorPotential(Potential):
    """An ASE calculator, called for one replica after another in double precision.

    Args:
        molecule: for its atoms; charge and multiplicity are those of the calculator.
    """

    def __init__(self, calculator: Any, molecule: Configuration) -> None:
        super().__init__(torch.device("cpu"), torch.float64)
        self._atoms: Any = molecule.to_atoms()
        self._atoms.calc = calculator

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        from ase.calculators.calculator import CalculatorError

        self.failures = {}
        energies, forces = [], []
        for replica, positions in enumerate(state.positions.numpy().reshape(-1, len(self._atoms), 3)):
            energy, force = np.nan, np.full(positions.shape, np.nan)
            try:
                # After a failure positions are NaN, for which some calculators never return.
                if np.isfinite(positions).all():
                    self._atoms.positions = positions
                    energy, force = float(self._atoms.get_potential_energy()), self._atoms.get_forces()
            # Errors of calculators at absurd geometries: a failed SCF or neighbour list.
            except (CalculatorError, RuntimeError, ValueError, ArithmeticError) as error:
                words = " ".join(str(error).split()) or type(error).__name__
                self.failures[replica] = f"the calculator failed: {words}"
            energies.append(energy)
            forces.append(force)
        return {
            "energy": torch.tensor(energies, dtype=torch.float64),
            "forces": torch.from_numpy(np.concatenate(forces)),
        }


class WalledPotential(Potential):
    """A potential plus a wall around each replica."""

    def __init__(self, inner: Potential, wall: Wall) -> None:
        super().__init__(inner.device, inner.dtype)
        self._inner, self._wall = inner, wall

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        output = self._inner(state)
        # Energies and forces of failed replicas remain NaN.
        positions = state.positions.detach().double().cpu().numpy().reshape(-1, len(self._wall.masses), 3)
        energies, forces = (torch.from_numpy(one).to(output["energy"]) for one in self._wall.push(positions))
        self.failures, self.fixed = self._inner.failures, self._inner.fixed
        return {"energy": output["energy"] + energies, "forces": output["forces"] + forces.reshape(-1, 3)}


def make_potential(model: Any, molecule: Configuration, *, replicas: int, steps: int) -> Potential:
    """The fastest potential of a model for these numbers of replicas and steps.

    Args:
        model: a MACE module or its calculator, or another ASE calculator.
        molecule: any geometry of the molecule.
    """
    if isinstance(model, MACECalculator) and len(model.models) == 1:
        model = model.models[0]
    if not isinstance(model, torch.nn.Module):
        return CalculatorPotential(model, molecule)
    try:
        numbers = molecule.numbers.tolist()
        return LeanPotential(model, numbers, replicas=replicas, traced=steps >= TRACE_FROM)
    except Unsupported as reason:
        logger.info("TorchSim's MACE, several times slower, is used for %s", reason)
        return ModulePotential(model)
