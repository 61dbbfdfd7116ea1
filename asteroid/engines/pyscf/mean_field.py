"""A converged mean field, up a ladder of ever more patient ways to reach it.

Every rung converges to the same thresholds: a label from the last one is as good as any other.
Called by :mod:`asteroid.engines.pyscf.ab_initio`.
"""

from collections.abc import Callable
from typing import Any, Final

from asteroid.configuration import Configuration
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
    """PySCF's unsolved mean field; restricted for singlets, unrestricted otherwise."""
    from pyscf import dft, scf

    molecule = make_molecule(level, configuration)
    restricted = configuration.multiplicity == 1
    if level.family == "dft":
        mean_field = (dft.RKS if restricted else dft.UKS)(molecule, xc=level.definition.functional)
        mean_field.grids.level = grid_level
    else:
        mean_field = (scf.RHF if restricted else scf.UHF)(molecule)
    if level.dispersion:
        # The damping parameters of b3lyp5 are those of b3lyp: the two differ in the local correlation they contain.
        mean_field.disp = {"b3lyp5": "d3bj:b3lyp"}.get(level.method, level.dispersion)
    mean_field.max_cycle = SCF_CYCLES
    mean_field.chkfile = None
    return mean_field


def solve(mean_field: Any, *, plain: bool = False) -> tuple[str, ...]:
    """Converge a mean field; the rungs of the ladder that it took, in order.

    Args:
        plain: as PySCF alone would, to compare with.

    Raises:
        LabelFailed: when no rung leads to convergence.
    """
    two_grids = hasattr(mean_field, "xc") and not plain
    if two_grids:
        keep_long_range_integrals(mean_field)
        solve_on_two_grids(mean_field)
    if not (two_grids and mean_field.converged):
        mean_field.kernel()
    rungs = ["default"]
    for rung, climb in LADDER.items():
        if mean_field.converged:
            break
        rungs.append(rung)
        attempt = climb(mean_field)
        if attempt.converged:
            for name in ("mo_coeff", "mo_energy", "mo_occ", "e_tot", "converged"):
                setattr(mean_field, name, getattr(attempt, name))
    if not mean_field.converged:
        raise LabelFailed(f"SCF not converged; tried: {', '.join(rungs)}", rungs=tuple(rungs))
    return tuple(rungs)


def _damped(mean_field: Any) -> Any:
    """Small steps in place of extrapolation lead DIIS to where it converges."""
    damped, attempt = mean_field.copy(), mean_field.copy()
    damped.diis = False
    damped.damp, damped.level_shift = DAMPING, LEVEL_SHIFT
    damped.conv_tol, damped.conv_tol_grad = DAMPED_THRESHOLDS
    damped.max_cycle = DAMPED_CYCLES
    damped.kernel()
    attempt.kernel(dm0=damped.make_rdm1())
    return attempt


def _second_order(mean_field: Any) -> Any:
    """Newton steps follow the energy downhill from where DIIS gave up; where they stall, DIIS takes the last ones."""
    newton, attempt = mean_field.newton(), mean_field.copy()
    newton.max_cycle = SECOND_ORDER_CYCLES
    newton.kernel(mean_field.mo_coeff, mean_field.mo_occ)
    if newton.converged:
        return newton
    attempt.kernel(dm0=newton.make_rdm1())
    return attempt


LADDER: Final[dict[str, Callable[[Any], Any]]] = {"damped": _damped, "second-order": _second_order}
"""What is tried after ``default``, in order, under the names that the ledger uses.

Fractional occupations solve nothing that these do not. Other initial guesses do, but often for another state: Newton
steps from the orbitals of the bare nuclei end 8 eV above the ground state of HO2. A failed label is better than that.
"""
