"""Langevin dynamics at the cheap level: frames from its Boltzmann distribution.

A cluster is kept together by :mod:`asteroid.chemistry.wall`.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import ase
import numpy as np
import numpy.typing as npt
from ase import units
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from asteroid.chemistry.wall import Wall
from asteroid.configuration import Configuration
from asteroid.engines import Labeller
from asteroid.errors import LabelFailed
from asteroid.labelling.calculator import LabellerCalculator

FRICTION = 0.02
"""1/fs: velocities decorrelate in 50 fs, so 200 fs equilibrate, while bonds (period 10 to 20 fs) still vibrate
freely."""


def trajectory(
    labeller: Labeller,
    start: Configuration,
    *,
    temperature: float,
    timestep: float,
    equilibration: float,
    interval: float,
    seed: int,
    wall: Wall | None = None,
) -> Iterator[npt.NDArray[np.float64]]:
    """Geometries along an endless trajectory, (N, 3) Å each, about their centre of mass.

    Starting velocities are Maxwell–Boltzmann without linear and angular momentum. The first geometry is yielded after
    ``equilibration``, the others at every ``interval``.

    Args:
        temperature: K.
        timestep, equilibration, interval: fs.
        wall: of a cluster.

    Raises:
        LabelFailed: when a calculation fails or positions become infinite.
    """
    # Not at the top: the imports take half a second.
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import Stationary, ZeroRotation

    random = np.random.default_rng(seed)
    atoms = start.to_atoms()
    calculator = LabellerCalculator(labeller, start.charge, start.multiplicity)
    atoms.calc = calculator if wall is None else _Walled(calculator, wall)
    widths = np.sqrt(atoms.get_masses() * units.kB * temperature)
    atoms.set_momenta(widths[:, None] * random.standard_normal((len(atoms), 3)))
    Stationary(atoms)
    ZeroRotation(atoms)
    # The centre of mass may diffuse: ASE's fixcm samples small molecules slightly wrong, as its documentation says.
    dynamics = Langevin(
        atoms, timestep * units.fs, temperature_K=temperature, friction=FRICTION / units.fs, fixcm=False, rng=random
    )
    steps = max(1, round(equilibration / timestep))
    while True:
        try:
            dynamics.run(steps)
        except CalculationFailed as error:
            raise LabelFailed(str(error)) from error
        except ValueError:
            if np.isfinite(atoms.positions).all():
                raise
            raise LabelFailed("the trajectory exploded") from None
        yield atoms.positions - atoms.get_center_of_mass()
        steps = max(1, round(interval / timestep))


class _Walled(Calculator):  # type: ignore[misc]
    """A calculator plus a wall."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, calculator: Any, wall: Wall) -> None:
        super().__init__()
        self._calculator, self._wall = calculator, wall

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        energy, forces = self._wall.push(self.atoms.positions)
        self.results = {
            "energy": self._calculator.get_potential_energy(self.atoms) + float(energy),
            "forces": self._calculator.get_forces(self.atoms) + forces,
        }
