"""Energies and forces of all replicas of a molecule in one pass, as TorchSim's integrators ask for them.

A MACE model of the architecture that :mod:`asteroid.training.lean` knows is computed by it: every atom is a neighbour
of every other, so that shapes never change and the pass can be traced. Another MACE model goes through TorchSim's own
wrapper, and whatever else ASE can calculate (a model that adds to a cheap method) one replica after another.
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
"""Steps for which tracing pays: it takes 2 to 4 s and saves 8 to 20 ms a step (1 to 64 replicas, one thread)."""


class Potential(ModelInterface):  # type: ignore[misc]  # torch_sim has no types
    """Energies and forces of replicas of one molecule, which stand one after another in TorchSim's state.

    Attributes:
        failures: why the last pass had no result, by replica; their energies and forces are not numbers.
        fixed: whether it is for one number of replicas, and costly to make again for another.
    """

    fixed = False

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self._device, self._dtype = device, dtype
        self._compute_stress, self._compute_forces = False, True
        self.failures: dict[int, str] = {}


class LeanPotential(Potential):
    """A MACE model as :class:`~asteroid.training.lean.LeanMACE` computes it.

    Args:
        numbers: (N,) atomic numbers of the molecule.
        replicas: how many there are at once.
        traced: whether to trace the pass.

    Raises:
        Unsupported: for another architecture, and for single atoms.
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
            # The tracer takes a method for a function of one argument more.
            self._run = trace(lambda x: self._pass(x), positions.clone().requires_grad_(True))
        except Exception as error:  # torch's tracers raise anything, and a simulation can do without them
            self._traced = self.fixed = False
            logger.info("MD steps are not traced, which makes them slower: %s", str(error).partition("\n")[0])


class ModulePotential(Potential):
    """A MACE model as TorchSim computes it: several times slower, for any architecture."""

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
        molecule: its charge and multiplicity are the calculator's business.
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
                # Earlier failures leave positions that are not numbers, which some calculators never return from.
                if np.isfinite(positions).all():
                    self._atoms.positions = positions
                    energy, force = float(self._atoms.get_potential_energy()), self._atoms.get_forces()
            # What calculators raise at an absurd geometry: an SCF or a neighbour list that fails.
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
    """Another potential with a wall about each replica."""

    def __init__(self, inner: Potential, wall: Wall) -> None:
        super().__init__(inner.device, inner.dtype)
        self._inner, self._wall = inner, wall

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        output = self._inner(state)
        # Numbers in the potential's place, for a trajectory that has failed has none.
        positions = state.positions.detach().double().cpu().numpy().reshape(-1, len(self._wall.masses), 3)
        energies, forces = (torch.from_numpy(one).to(output["energy"]) for one in self._wall.push(positions))
        self.failures, self.fixed = self._inner.failures, self._inner.fixed
        return {"energy": output["energy"] + energies, "forces": output["forces"] + forces.reshape(-1, 3)}


def make_potential(model: Any, molecule: Configuration, *, replicas: int, steps: int) -> Potential:
    """The fastest way to compute a model for so many replicas and steps.

    Args:
        model: a MACE module or its calculator, or any other ASE calculator.
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
        logger.info("TorchSim's own MACE, several times slower, is used for %s", reason)
        return ModulePotential(model)
