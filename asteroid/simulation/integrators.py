"""Starting velocities, and one step of all replicas in time.

States and steps are TorchSim's. Its Langevin thermostat draws from torch's global generator, so that one replica's path
would depend on how many others there are and on who else draws; here each replica has a generator of its own.
:mod:`asteroid.simulation.run` steps with this.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch_sim.integrators.md import MDState, momentum_step, position_step
from torch_sim.models.interface import ModelInterface

from asteroid.chemistry.vibrations import external_modes
from asteroid.units import BOLTZMANN

Floats = npt.NDArray[np.float64]

FRICTION = 0.01
"""1/fs, of the Langevin thermostat: it equilibrates within the first tenth of a picosecond or two."""


def thermal_momenta(
    positions: Floats, masses: Floats, temperature: float, rng: np.random.Generator
) -> tuple[Floats, int]:
    """Momenta (N, 3) of exactly this temperature in K, at rest as a whole, and their degrees of freedom.

    Args:
        positions: (N, 3) Å.
        masses: (N,) u.
    """
    roots = np.repeat(np.sqrt(masses), 3)
    external = external_modes(positions, masses)
    # In mass-weighted coordinates the rigid motions are a linear space, so what is left after projection has none.
    momenta = rng.standard_normal(roots.size)
    momenta -= external @ (external.T @ momenta)
    freedom = int(roots.size - external.shape[1])
    if freedom == 0:
        momenta[:] = 0.0
    else:
        momenta *= np.sqrt(freedom * BOLTZMANN * temperature / (momenta @ momenta))
    return (momenta * roots).reshape(-1, 3), freedom


def verlet_step(state: MDState, model: ModelInterface, *, dt: torch.Tensor) -> None:
    """One step of velocity Verlet, which conserves energy up to the square of the time step.

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
        kept: part of the momenta that friction leaves in a step.
        thermal: (atoms, 1) what the noise adds instead, as a standard deviation.
        generators: of each replica.
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
