"""Trajectory of one replica, in NumPy arrays.

:mod:`asteroid.simulation.run` makes replicas, :mod:`asteroid.simulation.trajectories` stores them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ensemble = Literal["nve", "nvt"]
Progress = Callable[[int, int], None]
"""Called with (steps done, all steps)."""

StopCriterion = Callable[[Floats], Sequence[str | None]]
"""From the positions (R, N, 3) Å of running replicas: the reason to end each of them, or None."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Replica:
    """One trajectory, recorded at intervals.

    Args:
        ensemble: ``nve`` (velocity Verlet) or ``nvt`` (Langevin).
        temperature: K, of the thermostat, or of the starting velocities.
        timestep: fs.
        seed: of the velocities and the thermostat.
        start: frame id of the starting configuration.
        times: (K,) fs, including start and last step.
        positions: (K, N, 3) Å.
        potential_energies, total_energies: (K,) eV.
        temperatures: (K,) K, from the kinetic energy.
        reason: why it ended early; None for a replica that reached its planned end.
        survived, requested: ps.
    """

    ensemble: Ensemble
    temperature: float
    timestep: float
    seed: int
    start: str
    times: Floats
    positions: Floats
    potential_energies: Floats
    total_energies: Floats
    temperatures: Floats
    reason: str | None
    survived: float
    requested: float

    @property
    def stable(self) -> bool:
        return self.reason is None
