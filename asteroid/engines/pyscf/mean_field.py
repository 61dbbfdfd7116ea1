"""Mean-field calculations with PySCF, and the retry steps for SCF that does not converge.

Every retry step converges to the same thresholds, so its labels are as good as those of the first attempt.
Called by :mod:`asteroid.engines.pyscf.ab_initio`.
"""

from collections.abc import Callable
from typing import Any, Final

from asteroid.configuration import Configuration
from asteroid.engines.pyscf.density_fitting import fit, is_fitted
from asteroid.engines.pyscf.density_functional import keep_long_range_integrals, solve_on_two_grids
from asteroid.errors import LabelFailed
from asteroid.levels import MAX_ALL_ELECTRON, LevelOfTheory
from asteroid.units import BOHR

SCF_CYCLES: Final = 100
SECOND_ORDER_CYCLES: Final = 80
DAMPING: Final = 0.7
"""Share of the old Fock matrix in the new one."""
LEVEL_SHIFT: Final = 0.2
"""hartree, by which virtual orbitals are lifted."""
DAMPED_CYCLES: Final = 200
DAMPED_THRESHOLDS: Final = (1e-7, 1e-3)
"""hartree, and the norm of the orbital gradient, where DIIS takes over from damping."""


COARSE_GRID: Final = 1
"""PySCF's grid level of the methods ``coarse-df-…``. On level 0, forces are off by 80 meV/Å; on level 2 by 0.3, for
half as much time again as on level 1."""


def make_molecule(level: LevelOfTheory, configuration: Configuration) -> Any:
    """PySCF's molecule, with core potentials for the elements that need them; lengths are converted here."""
    from pyscf import gto

    return gto.M(
        atom=list(zip(configuration.symbols, configuration.positions / BOHR, strict=True)),
        unit="Bohr",
        basis=level.basis,
        ecp={
            symbol: level.basis
            for symbol, number in zip(configuration.symbols, configuration.numbers, strict=True)
            if number > MAX_ALL_ELECTRON
        },
        charge=configuration.charge,
        spin=configuration.multiplicity - 1,
        symmetry=False,
        verbose=0,
    )


def make_mean_field(level: LevelOfTheory, configuration: Configuration, *, grid_level: int) -> Any:
    """PySCF's unsolved mean field; restricted for singlets, unrestricted otherwise.

    Args:
        grid_level: of functionals, except those on a coarse grid.
    """
    from pyscf import dft, scf

    molecule = make_molecule(level, configuration)
    restricted = configuration.multiplicity == 1
    if level.family == "dft":
        mean_field = (dft.RKS if restricted else dft.UKS)(molecule, xc=level.definition.functional)
        mean_field.grids.level = COARSE_GRID if level.definition.coarse else grid_level
    else:
        mean_field = (scf.RHF if restricted else scf.UHF)(molecule)
    if level.dispersion:
        # The damping parameters of b3lyp5 are those of b3lyp: the two differ in the local correlation they contain.
        mean_field.disp = {"b3lyp5": "d3bj:b3lyp"}.get(level.definition.functional or "", level.dispersion)
    mean_field.max_cycle = SCF_CYCLES
    mean_field.chkfile = None
    return fit(mean_field) if level.definition.fitted else mean_field


def solve(mean_field: Any, *, plain: bool = False) -> tuple[str, ...]:
    """Converge a mean field in place and return the retry steps that were used, in order.

    Args:
        plain: PySCF's own SCF, without the faster start on two grids; for comparison.

    Raises:
        LabelFailed: when no retry step converges.
    """
    two_grids = hasattr(mean_field, "xc") and not plain
    if two_grids:
        if not is_fitted(mean_field):
            keep_long_range_integrals(mean_field)
        solve_on_two_grids(mean_field)
    if not (two_grids and mean_field.converged):
        mean_field.kernel()
    retry_steps = ["default"]
    for name, step in RETRY_STEPS.items():
        if mean_field.converged:
            break
        retry_steps.append(name)
        attempt = step(mean_field)
        if attempt.converged:
            for field in ("mo_coeff", "mo_energy", "mo_occ", "e_tot", "converged"):
                setattr(mean_field, field, getattr(attempt, field))
    if not mean_field.converged:
        raise LabelFailed(f"SCF not converged; tried: {', '.join(retry_steps)}", retry_steps=tuple(retry_steps))
    return tuple(retry_steps)


def _damped(mean_field: Any) -> Any:
    """Damped SCF without extrapolation, then DIIS from its density."""
    damped, attempt = mean_field.copy(), mean_field.copy()
    damped.diis = False
    damped.damp, damped.level_shift = DAMPING, LEVEL_SHIFT
    damped.conv_tol, damped.conv_tol_grad = DAMPED_THRESHOLDS
    damped.max_cycle = DAMPED_CYCLES
    damped.kernel()
    attempt.kernel(dm0=damped.make_rdm1())
    return attempt


def _second_order(mean_field: Any) -> Any:
    """Newton steps from where DIIS stopped; if they do not converge either, DIIS again from their density."""
    newton, attempt = mean_field.newton(), mean_field.copy()
    newton.max_cycle = SECOND_ORDER_CYCLES
    newton.kernel(mean_field.mo_coeff, mean_field.mo_occ)
    if newton.converged:
        return newton
    attempt.kernel(dm0=newton.make_rdm1())
    return attempt


RETRY_STEPS: Final[dict[str, Callable[[Any], Any]]] = {"damped": _damped, "second-order": _second_order}
"""Tried in order after ``default``; the names are those in the ledger.

Fractional occupations converge nothing that these do not. Other initial guesses do, but often to another state: Newton
steps from the orbitals of the bare nuclei end 8 eV above the ground state of HO2. A failed label is better than that.
"""
