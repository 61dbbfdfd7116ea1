"""Langevin molecular dynamics at the cheap level: frames drawn from its Boltzmann distribution."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from ase import units
from ase.calculators.calculator import CalculationFailed
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, ZeroRotation

from asteroid.configuration import Configuration
from asteroid.errors import LabelFailed
from asteroid.labelling import Labeller
from asteroid.labelling.calculator import LabellerCalculator

FRICTION = 0.02
"""1/fs: memory is lost in 50 fs, so that 200 fs equilibrate, while bonds (10 to 20 fs a period) still
vibrate freely."""


def trajectory(
    labeller: Labeller,
    start: Configuration,
    *,
    temperature: float,
    timestep: float,
    equilibration: float,
    interval: float,
    seed: int,
) -> Iterator[npt.NDArray[np.float64]]:
    """Geometries along an endless trajectory, (N, 3) Å each, about their centre of mass.

    It starts with velocities of the Maxwell–Boltzmann distribution without linear and angular momentum; the first
    geometry comes after ``equilibration``, the others ``interval`` apart.

    Args:
        temperature: K.
        timestep, equilibration, interval: fs.

    Raises:
        LabelFailed: when the level finds no forces on the way, or the atoms fly apart.
    """
    random = np.random.default_rng(seed)
    atoms = start.to_atoms()
    atoms.calc = LabellerCalculator(labeller, start.charge, start.multiplicity)
    widths = np.sqrt(atoms.get_masses() * units.kB * temperature)
    atoms.set_momenta(widths[:, None] * random.standard_normal((len(atoms), 3)))
    Stationary(atoms)
    ZeroRotation(atoms)
    # The centre of mass is left to diffuse: ASE's fixcm samples small molecules a little wrong (it says so itself).
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
