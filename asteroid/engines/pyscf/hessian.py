"""Analytic Hessians with PySCF, for Hartree–Fock and common functionals, and derivatives of the dipole.

Other levels use finite differences of forces (:mod:`asteroid.stages.hessians`).
"""

import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration
from asteroid.engines.pyscf.ab_initio import SETTINGS
from asteroid.engines.pyscf.mean_field import make_mean_field, solve
from asteroid.levels import LevelOfTheory
from asteroid.units import BOHR, HARTREE

PROVED: Final = frozenset({"hf", "pbe", "blyp", "pbe0", "b3lyp", "b3lyp5"})
"""Methods whose analytic frequencies of water agree with finite differences to 1 cm⁻¹; not with dispersion."""

FIELD: Final = 1e-3
"""hartree/(e·bohr), electric field of the finite differences: their error is of order field², 1e-5 e for water, and the
change of the forces is far above the noise of a tight SCF."""


def has_analytic_hessian(level: LevelOfTheory) -> bool:
    return level.method in PROVED and not level.dispersion and level.engine is None


def analytic_hessian(configuration: Configuration, level: LevelOfTheory) -> dict[str, Any]:
    """``hessian``, (3N, 3N) eV/Å², ``dipole_derivatives``, (3N, 3) e, and their cost in ``core_seconds``.

    The latter are None for an ion, whose dipole depends on the origin.

    Raises:
        LabelFailed: when the mean field does not converge.
    """
    began = time.process_time()
    mean_field = make_mean_field(level, configuration, grid_level=SETTINGS["grid_level"])
    mean_field.conv_tol, mean_field.conv_tol_grad = SETTINGS["scf_energy"], SETTINGS["scf_gradient"]
    solve(mean_field)
    size = 3 * len(configuration.numbers)
    second = mean_field.Hessian().kernel().transpose(0, 2, 1, 3).reshape(size, size) * HARTREE / BOHR**2
    slopes = None if configuration.charge else _dipole_derivatives(mean_field)
    # Not exactly symmetric because of the grid.
    return {
        "hessian": 0.5 * (second + second.T),
        "dipole_derivatives": slopes,
        "core_seconds": time.process_time() - began,
    }


def _dipole_derivatives(mean_field: Any) -> npt.NDArray[np.float64] | None:
    """(3N, 3) e, as derivatives of the forces by an electric field: ∂μ/∂R = −∂²E/∂R∂ε = ∂F/∂ε.

    They take six gradients whatever the size of the molecule. None if the mean field does not converge in the field.

    Args:
        mean_field: solved; it is left in a field.
    """
    molecule, density, core = mean_field.mol, mean_field.make_rdm1(), mean_field.get_hcore()
    moments = molecule.intor("int1e_r")
    # ⟨i|r ∂j⟩, r before ∂; the basis functions move with the nuclei.
    moving = molecule.intor("int1e_irp").reshape(3, 3, *core.shape[-2:])
    charges = molecule.atom_charges()
    found = []
    for axis in range(3):
        forces = []
        for field in (FIELD, -FIELD):
            shifted = core + field * moments[axis]
            mean_field.get_hcore = lambda mol=None, shifted=shifted: shifted
            mean_field.kernel(density)
            if not mean_field.converged:
                return None
            gradient = mean_field.nuc_grad_method()
            slopes = gradient.get_hcore(molecule) - field * moving[axis].transpose(0, 2, 1)
            gradient.get_hcore = lambda mol=None, slopes=slopes: slopes
            on_nuclei = np.zeros((len(charges), 3))
            on_nuclei[:, axis] = field * charges
            forces.append(on_nuclei - gradient.kernel())
        found.append((forces[0] - forces[1]).ravel() / (2 * FIELD))
    return np.array(found).T
