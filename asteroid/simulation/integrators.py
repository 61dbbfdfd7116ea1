"""Starting velocities, and one time step of all replicas.

States and steps are TorchSim's. Its Langevin thermostat uses torch's global random generator, so that a replica would
depend on the number of others; here each replica has its own generator. Used by :mod:`asteroid.simulation.run`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch_sim.integrators.md import MDState, momentum_step, position_step
from torch_sim.models.interface import ModelInterface

from asteroid.chemistry.vibrations import rigid_and_internal_modes
from asteroid.units import BOLTZMANN

Floats = npt.NDArray[np.float64]

FRICTION = 0.01
"""1/fs, of the Langevin thermostat: it equilibrates within 0.1 to 0.2 ps."""


def thermal_momenta(
    positions: Floats, masses: Floats, temperature: float, rng: np.random.Generator
) -> tuple[Floats, int]:
    """Momenta (N, 3) of exactly this temperature in K without rigid motion, and their degrees of freedom.

    Args:
        positions: (N, 3) Å.
        masses: (N,) u.
    """
    roots = np.repeat(np.sqrt(masses), 3)
    external, _ = rigid_and_internal_modes(positions, masses)
    # In mass-weighted coordinates, rigid motions are a linear space and can be projected out.
    momenta = rng.standard_normal(roots.size)
    momenta -= external @ (external.T @ momenta)
    freedom = int(roots.size - external.shape[1])
    if freedom == 0:
        momenta[:] = 0.0
    else:
        momenta *= np.sqrt(freedom * BOLTZMANN * temperature / (momenta @ momenta))
    return (momenta * roots).reshape(-1, 3), freedom


def verlet_step(state: MDState, model: ModelInterface, *, dt: torch.Tensor) -> None:
    """One step of velocity Verlet; the energy error is of order dt².

    Args:
        dt: Å·sqrt(u/eV).
    """
    momentum_step(state, dt / 2)
    position_step(state, dt)
    _update(state, model)
    momentum_step(state, dt / 2)


def langevin_step(
    state: MDState,
    model: ModelInterface,
    *,
    dt: torch.Tensor,
    kept: float,
    thermal: torch.Tensor,
    generators: Sequence[np.random.Generator],
) -> None:
    """One step of Langevin dynamics, in the order BAOAB of Leimkuhler and Matthews (doi:10.1093/amrx/abs010).

    Args:
        dt: Å·sqrt(u/eV).
        kept: factor of friction on the momenta per step.
        thermal: (atoms, 1) standard deviation of the random momenta.
        generators: one per replica.
    """
    momentum_step(state, dt / 2)
    position_step(state, dt / 2)
    atoms = len(state.positions) // len(generators)
    noise = np.concatenate([generator.standard_normal((atoms, 3)) for generator in generators])
    state.momenta = kept * state.momenta + thermal * torch.from_numpy(noise).to(state.momenta)
    position_step(state, dt / 2)
    _update(state, model)
    momentum_step(state, dt / 2)


def _update(state: MDState, model: ModelInterface) -> None:
    output = model(state)
    state.energy, state.forces = output["energy"], output["forces"]
