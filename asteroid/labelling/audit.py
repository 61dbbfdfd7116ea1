"""The audit of a finished label: a number came out; can it be believed?

An energy in vacuum does not change when the molecule is moved or turned, so net force and net torque vanish. A gradient
that is not the derivative of its energy usually breaks this first. Called by :mod:`asteroid.labelling.attempt`.
"""

from typing import Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.labelling import Result
from asteroid.levels import Family, LevelOfTheory

NET_TOLERANCE: Final[dict[Family, float]] = {
    # Converged analytic gradients: below 1e-4 in every molecule measured.
    "semiempirical": 1e-3,
    "hf": 1e-3,
    "mp2": 1e-3,
    "ccsd": 1e-3,
    "ccsd(t)": 1e-3,
    # The integration grid is not invariant under rotation: up to 4e-4 eV in small radicals (wB97X).
    "dft": 1e-2,
}
"""Largest net force per atom (eV/Å) and net torque per atom (eV)."""

LARGEST_FORCE: Final = 1000.0
"""eV/Å. Atoms lie on each other long before; programs still return a number, and one such frame spoils a training."""


def audit(level: LevelOfTheory, configuration: Configuration, result: Result) -> str | None:
    """The figure that condemns a label, or None when nothing speaks against it.

    >>> level = LevelOfTheory.parse("gfn2-xtb")
    >>> h2 = Configuration([1, 1], [[0, 0, 0], [0, 0, 0.74]])
    >>> audit(level, h2, Result(energy=-26.7, forces=np.array([[0, 0, 0.1], [0, 0, -0.2]])))
    'net force 0.05 eV/Å per atom, at most 0.001 expected'
    """
    if not np.isfinite(result.energy):
        return f"energy is {result.energy}"
    forces = result.forces
    if forces is None:
        return None
    if forces.shape != configuration.positions.shape:
        return f"forces have shape {forces.shape}, expected {configuration.positions.shape}"
    if not np.isfinite(forces).all():
        return "forces are not finite"
    if (largest := float(np.abs(forces).max())) > LARGEST_FORCE:
        return f"force of {largest:.3g} eV/Å, at most {LARGEST_FORCE:g} is believed"
    atoms, limit = len(forces), NET_TOLERANCE[level.family]
    net_force = float(np.linalg.norm(forces.sum(axis=0))) / atoms
    if net_force > limit:
        return f"net force {net_force:.3g} eV/Å per atom, at most {limit:g} expected"
    x, y, z = (configuration.positions - configuration.positions.mean(axis=0)).T
    fx, fy, fz = forces.T
    torque = np.array([y @ fz - z @ fy, z @ fx - x @ fz, x @ fy - y @ fx])
    net_torque = float(np.linalg.norm(torque)) / atoms
    if net_torque > limit:
        return f"net torque {net_torque:.3g} eV per atom, at most {limit:g} expected"
    return None
