"""Models and potentials for molecular dynamics whose answers are known or quick."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes

from asteroid.configuration import Configuration
from asteroid.settings import ModelSettings
from asteroid.training.model import build_model, set_reference_energies


class FromFunction(Calculator):
    """An ASE calculator of a function of positions: (energy eV, forces eV/Å)."""

    implemented_properties = ("energy", "forces")

    def __init__(self, function: Callable[[np.ndarray], tuple[float, np.ndarray]]) -> None:
        super().__init__()
        self.function = function

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        energy, forces = self.function(self.atoms.positions)
        self.results = {"energy": energy, "forces": forces}


def well(k: float = 3.0) -> FromFunction:
    """Every atom on a spring of its own, of force constant k (eV/Å²), to the origin."""
    return FromFunction(lambda p: (0.5 * k * float((p**2).sum()), -k * p))


class Keeper:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.newest: bytes | None = None

    def load(self) -> bytes | None:
        return self.newest

    def save(self, checkpoint: bytes) -> None:
        self.newest = checkpoint

    def clear(self) -> None:
        self.newest = None


@pytest.fixture(scope="session")
def formaldehyde() -> Configuration:
    return Configuration.from_atoms(molecule("H2CO"))


@pytest.fixture(scope="session")
def mace() -> torch.nn.Module:
    """A small MACE model with random weights for H, C and O."""
    settings = ModelSettings(channels=4, max_l=1, max_ell=2, correlation=2, radial=4, r_max=3.0)
    model = build_model([1, 6, 8], settings, scale=0.3, avg_num_neighbors=3.0, seed=0, dtype=torch.float64)
    set_reference_energies(model, {1: -13.6, 8: -2000.0})
    return model


@pytest.fixture(scope="session")
def other_mace(mace: torch.nn.Module) -> torch.nn.Module:
    """The same energies from a module whose type is not known to the fast pass."""

    class Renamed(type(mace)):  # type: ignore[misc]
        pass

    other = copy.deepcopy(mace)
    other.__class__ = Renamed
    return other
