"""Energy and gradient from a converged mean field with PySCF's own functions, in atomic units.

Used for open-shell MP2 and CCSD, and to check the faster functions (:mod:`asteroid.engines.pyscf.correlation`,
:mod:`asteroid.engines.pyscf.density_functional`) in tests and for a few labels of each campaign.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from asteroid.engines.pyscf.gradients import LINEAR_DEPENDENCE, RESPONSE_CYCLES
from asteroid.errors import LabelFailed


class Outcome(NamedTuple):
    """Result of a method, in atomic units.

    Args:
        energy: hartree.
        gradient: (N, 3) hartree/bohr; None when only the energy was asked for.
        dipole: (3,) e·bohr, of the relaxed density; None where it would need an extra calculation.
    """

    energy: float
    gradient: npt.NDArray[np.float64] | None = None
    dipole: npt.NDArray[np.float64] | None = None


CC_CYCLES: Final = 100


@dataclass(frozen=True)
class Thresholds:
    """Convergence thresholds of correlated methods.

    Args:
        energy: hartree, of coupled cluster.
        amplitudes, multipliers: norm of the last change of amplitudes and of lambda amplitudes.
        response: residual of the orbital response.
    """

    energy: float
    amplitudes: float
    multipliers: float
    response: float


Method = Callable[[Any, bool, Thresholds], Outcome]
"""Arguments: a converged mean field, whether to compute forces, and thresholds."""


def mean_field(mean_field: Any, forces: bool, _: Thresholds) -> Outcome:
    """HF and DFT."""
    dipole = mean_field.dip_moment(unit="AU", verbose=0)
    if not forces:
        return Outcome(float(mean_field.e_tot), dipole=dipole)
    method = mean_field.nuc_grad_method()
    if hasattr(method, "grid_response"):
        # Without grid response the net force of formaldehyde is 1e-4 eV/Å on our grid, 3e-3 with r2SCAN.
        method.grid_response = True
    return Outcome(float(mean_field.e_tot), method.kernel(), dipole)


def mp2(mean_field: Any, forces: bool, thresholds: Thresholds) -> Outcome:
    from pyscf import mp

    perturbation = mp.MP2(mean_field, frozen=frozen_core(mean_field.mol))
    perturbation.kernel(with_t2=forces)
    with tight_response(thresholds):
        return Outcome(float(perturbation.e_tot), perturbation.nuc_grad_method().kernel() if forces else None)


def ccsd(mean_field: Any, forces: bool, thresholds: Thresholds) -> Outcome:
    cluster, integrals = solve_ccsd(mean_field, thresholds)
    if not forces:
        return Outcome(float(cluster.e_tot))
    solve_lambda(cluster, integrals, thresholds)
    with tight_response(thresholds):
        gradient = cluster.nuc_grad_method().kernel(cluster.t1, cluster.t2, cluster.l1, cluster.l2, eris=integrals)
    return Outcome(float(cluster.e_tot), gradient)


def ccsd_t(mean_field: Any, forces: bool, thresholds: Thresholds) -> Outcome:
    """CCSD(T), its gradient with the lambda amplitudes of (T).

    ``pyscf.grad.ccsd_t.Gradients(cc).kernel()`` uses those of CCSD and is silently wrong by up to 0.1 eV/Å.
    """
    from pyscf.cc import ccsd_t_lambda
    from pyscf.grad import ccsd_t

    cluster, integrals = solve_ccsd(mean_field, thresholds)
    energy = float(cluster.e_tot + triples_energy(cluster, integrals))
    if not forces:
        return Outcome(energy)
    converged, l1, l2 = ccsd_t_lambda.kernel(
        cluster,
        integrals,
        cluster.t1,
        cluster.t2,
        max_cycle=CC_CYCLES,
        tol=thresholds.multipliers,
        verbose=quiet(),
    )
    if not converged:
        raise LabelFailed(f"CCSD(T) lambda equations not converged in {CC_CYCLES} cycles")
    with tight_response(thresholds):
        return Outcome(energy, ccsd_t.Gradients(cluster).kernel(cluster.t1, cluster.t2, l1, l2, eris=integrals))


def solve_ccsd(mean_field: Any, thresholds: Thresholds) -> tuple[Any, Any]:
    """Converged CCSD and its transformed integrals.

    Raises:
        LabelFailed: when the amplitudes do not converge.
    """
    from pyscf import cc

    cluster = cc.CCSD(mean_field, frozen=frozen_core(mean_field.mol))
    cluster.conv_tol = thresholds.energy
    cluster.conv_tol_normt = thresholds.amplitudes
    cluster.max_cycle = CC_CYCLES
    integrals = cluster.ao2mo()
    cluster.kernel(eris=integrals)
    if not cluster.converged:
        raise LabelFailed(f"CCSD not converged in {CC_CYCLES} cycles")
    return cluster, integrals


def solve_lambda(cluster: Any, integrals: Any, thresholds: Thresholds) -> None:
    """Solve the lambda equations of CCSD; the amplitudes are stored in ``cluster``.

    Raises:
        LabelFailed: when they do not converge.
    """
    cluster.conv_tol_normt = thresholds.multipliers
    cluster.solve_lambda(eris=integrals)
    if not cluster.converged_lambda:
        raise LabelFailed(f"CCSD lambda equations not converged in {CC_CYCLES} cycles")


def triples_energy(cluster: Any, integrals: Any) -> float:
    """(T) correction, hartree."""
    if not cluster.mol.spin:
        return float(cluster.ccsd_t(eris=integrals))
    from pyscf.cc import uccsd_t

    return float(uccsd_t.kernel(cluster, integrals, cluster.t1, cluster.t2, verbose=quiet()))


def quiet() -> Any:
    """A silent logger, for functions of PySCF that print their result."""
    from pyscf.lib import logger

    return logger.Logger(io.StringIO(), 0)


def frozen_core(molecule: Any) -> int:
    """Number of frozen core orbitals: those of the noble gas before each atom, as in PySCF.

    Raises:
        LabelFailed: when there are no valence electrons to correlate.
    """
    from pyscf.data import elements

    frozen = int(elements.chemcore(molecule))
    if molecule.nelectron <= 2 * frozen:
        raise LabelFailed(f"all {molecule.nelectron} electrons are core electrons, none is left to correlate")
    return frozen


@contextlib.contextmanager
def tight_response(thresholds: Thresholds) -> Iterator[None]:
    """Make PySCF converge the orbital response of correlated gradients.

    Its Krylov solver stops when the squared norm of a trial vector falls below 1e-13, even above the tolerance. Forces
    are then off by up to 6e-5 eV/Å for closed shells and 3e-4 for open shells (HO2 in 6-31G).
    """
    from pyscf import lib

    original = lib.krylov
    options = {"tol": thresholds.response, "lindep": LINEAR_DEPENDENCE, "max_cycle": RESPONSE_CYCLES}

    def krylov(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **{**kwargs, **options})

    lib.krylov = krylov
    try:
        yield
    finally:
        lib.krylov = original
