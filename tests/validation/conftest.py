"""Potentials whose answers are known, as ASE calculators."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

from asteroid.configuration import Configuration


class Spring(Calculator):
    """A harmonic bond of force constant k (eV/Å²) and length r0 (Å) between two atoms."""

    implemented_properties = ("energy", "forces")

    def __init__(self, k: float = 35.0, r0: float = 0.74) -> None:
        super().__init__()
        self.k, self.r0 = k, r0

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        bond = self.atoms.positions[1] - self.atoms.positions[0]
        length = np.linalg.norm(bond)
        pull = self.k * (length - self.r0) * bond / length
        self.results = {"energy": 0.5 * self.k * (length - self.r0) ** 2, "forces": np.array([pull, -pull])}


class Broken(Calculator):
    """Forces from a function of the positions: a potential with a hole."""

    implemented_properties = ("energy", "forces")

    def __init__(self, forces: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__()
        self.function = forces

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": self.function(self.atoms.positions)}


@pytest.fixture
def hydrogen() -> Configuration:
    return Configuration([1, 1], [[0, 0, 0], [0, 0, 0.74]])


@pytest.fixture(scope="session")
def ethanol() -> Configuration:
    from ase.build import molecule

    return Configuration.from_atoms(molecule("CH3CH2OH"))


@pytest.fixture
def gfn() -> Callable[[int], Any]:
    """GFN1-xTB or GFN2-xTB as an ASE calculator."""
    from tblite.ase import TBLite

    return lambda number: TBLite(method=f"GFN{number}-xTB", verbosity=0)
