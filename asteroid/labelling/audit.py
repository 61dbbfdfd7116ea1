"""Audit of a single label: geometry, ⟨S²⟩, finite forces, net force and net torque.

The energy of a molecule in vacuum is invariant under translation and rotation, so net force and net torque vanish. A
gradient that is not the derivative of its energy usually violates this. Called by :mod:`asteroid.labelling.attempt`;
:mod:`asteroid.labelling.review` finds outliers among many labels.
"""

import math
from typing import Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import Result
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
    "engine": 1e-2,
    # May have a functional among its parts.
    "composite": 1e-2,
}
"""Largest net force per atom (eV/Å) and net torque per atom (eV)."""

LARGEST_FORCE: Final = 1000.0
"""eV/Å. Larger forces mean overlapping atoms, for which programs still return a number; one such label can ruin a
training."""

SPIN_CONTAMINATION: Final[dict[Family, float]] = {
    # UHF: 0.01 in HO2, 0.04 in NO, 0.2 in allyl and vinyl, 0.4 in CN, for which perturbation theory fails.
    "hf": 0.3,
    "mp2": 0.3,
    # Singles and doubles remove most of it; CN is accurate.
    "ccsd": 0.6,
    "ccsd(t)": 0.6,
    # 0.05 in allyl (wB97X) and below 0.02 in other radicals; 0.2 where two distant fragments share an electron.
    "dft": 0.1,
    # The largest of its parts, of which the Hartree-Fock energy is judged most strictly.
    "composite": 0.3,
}
"""Largest deviation of ⟨S²⟩ from S(S+1), ħ², measured for cc-pVDZ. The usual rule for doublets is 10 %
(Young, Computational Chemistry, 2001, ch. 27); beyond it the state is a mixture of multiplicities."""

ECHO_TOLERANCE: Final = 1e-9
"""Å, by which the program's geometry may differ from the requested one: rounding of the unit conversion."""


def audit(level: LevelOfTheory, configuration: Configuration, result: Result) -> str | None:
    """The failed check as a reason, or None when the label passes.

    >>> level = LevelOfTheory.parse("gfn2-xtb")
    >>> h2 = Configuration([1, 1], [[0, 0, 0], [0, 0, 0.74]])
    >>> audit(level, h2, Result(energy=-26.7, forces=np.array([[0, 0, 0.1], [0, 0, -0.2]])))
    'net force 0.05 eV/Å per atom, at most 0.001 expected'
    """
    if not np.isfinite(result.energy):
        return f"energy is {result.energy}"
    if result.positions is not None:
        moved = float(np.abs(result.positions - configuration.positions).max())
        if moved > ECHO_TOLERANCE:
            return f"computed for another geometry: an atom is off by {moved:.3g} Å"
    if result.spin_square is not None and level.family in SPIN_CONTAMINATION:
        spin, bound = (configuration.multiplicity - 1) / 2, SPIN_CONTAMINATION[level.family]
        if abs(result.spin_square - spin * (spin + 1)) > bound:
            return f"<S^2> is {result.spin_square:.3f}, {spin * (spin + 1):g} ± {bound:g} expected"
    forces = result.forces
    if forces is None:
        return None
    if forces.shape != configuration.positions.shape:
        return f"forces have shape {forces.shape}, expected {configuration.positions.shape}"
    if not np.isfinite(forces).all():
        return "forces are not finite"
    if (largest := float(np.abs(forces).max())) > LARGEST_FORCE:
        return f"force of {largest:.3g} eV/Å, at most {LARGEST_FORCE:g} expected"
    atoms, limit = len(forces), NET_TOLERANCE[level.family]
    net_force = math.hypot(*forces.sum(axis=0)) / atoms
    if net_force > limit:
        return f"net force {net_force:.3g} eV/Å per atom, at most {limit:g} expected"
    # Σ r_i F_j about the centre; its antisymmetric part is the torque.
    moment = (configuration.positions - configuration.positions.sum(axis=0) / atoms).T @ forces
    (_, xy, xz), (yx, _, yz), (zx, zy, _) = moment.tolist()
    net_torque = math.hypot(yz - zy, zx - xz, xy - yx) / atoms
    if net_torque > limit:
        return f"net torque {net_torque:.3g} eV per atom, at most {limit:g} expected"
    return None
