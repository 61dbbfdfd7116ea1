"""Analytic Hessians with PySCF, for Hartree–Fock and common functionals.

Other levels use finite differences of forces (:mod:`asteroid.stages.hessians`).
"""

import time
from typing import Any, Final

from asteroid.configuration import Configuration
from asteroid.engines.pyscf.ab_initio import SETTINGS
from asteroid.engines.pyscf.mean_field import make_mean_field, solve
from asteroid.levels import LevelOfTheory
from asteroid.units import BOHR, HARTREE

PROVED: Final = frozenset({"hf", "pbe", "blyp", "pbe0", "b3lyp", "b3lyp5"})
"""Methods whose analytic frequencies of water agree with finite differences to 1 cm⁻¹; not with dispersion."""


def has_analytic_hessian(level: LevelOfTheory) -> bool:
    return level.method in PROVED and not level.dispersion and level.engine is None


def analytic_hessian(configuration: Configuration, level: LevelOfTheory) -> dict[str, Any]:
    """``hessian``, (3N, 3N) eV/Å², and its cost in ``core_seconds``.

    Raises:
        LabelFailed: when the mean field does not converge.
    """
    began = time.process_time()
    mean_field = make_mean_field(level, configuration, grid_level=SETTINGS["grid_level"])
    mean_field.conv_tol, mean_field.conv_tol_grad = SETTINGS["scf_energy"], SETTINGS["scf_gradient"]
    solve(mean_field)
    size = 3 * len(configuration.numbers)
    second = mean_field.Hessian().kernel().transpose(0, 2, 1, 3).reshape(size, size) * HARTREE / BOHR**2
    # Not exactly symmetric because of the grid.
    return {"hessian": 0.5 * (second + second.T), "core_seconds": time.process_time() - began}
