"""The accurate levels: HF, DFT, MP2, CCSD and CCSD(T) with PySCF.

One function a family below :class:`PyscfLabeller`; each returns energy and gradient in atomic units, which end here.
Every gradient offered equals the finite difference of its own energy (``tests/physics/test_labels.py``); combinations
that do not are refused by :func:`asteroid.labelling.check_supported`. Correlated methods keep the core frozen, as
published labels do.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration
from asteroid.errors import LabelFailed
from asteroid.labelling import Result, check_supported, package_version, settings_hash
from asteroid.levels import LevelOfTheory
from asteroid.units import BOHR, HARTREE, HARTREE_PER_BOHR

SETTINGS: Final[dict[str, Any]] = {
    "scf_energy": 1e-11,  # hartree
    "scf_gradient": 1e-7,  # orbital gradient: forces are wrong in first order of it
    "cc_energy": 1e-9,  # hartree
    "cc_amplitudes": 1e-7,
    "lambda": 1e-7,
    "response": 1e-9,
    "grid_level": 4,
    "grid_response": True,
    "core": "frozen",
    "scf_ladder": ["default", "second-order"],
}
"""Everything numerical that a level's name does not say.

With grid response the DFT force is the derivative of the energy on the moving grid to 1e-6 eV/Å, and the net force is
zero; without it the net force of formaldehyde is 1e-4 eV/Å at this grid, 3e-3 with r2SCAN. It costs next to nothing.
"""

SCF_CYCLES: Final = 100
SECOND_ORDER_CYCLES: Final = 30
SECOND_ORDER_THRESHOLDS: Final = (1e-8, 1e-4)
"""hartree, and the norm of the orbital gradient, where DIIS takes over again"""
CC_CYCLES: Final = 100
RESPONSE_CYCLES: Final = 200

Gradient = npt.NDArray[np.float64]
Outcome = tuple[float, Gradient | None]
"""Energy in hartree; gradient (N, 3) in hartree/bohr, None when only the energy was asked for."""


@dataclass(frozen=True)
class PyscfLabeller:
    """HF, DFT, MP2, CCSD and CCSD(T); restricted for singlets, unrestricted otherwise."""

    level: LevelOfTheory
    program: str = "pyscf"

    @property
    def version(self) -> str:
        return package_version("pyscf")

    @property
    def settings(self) -> str:
        return settings_hash(SETTINGS)

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label, on one thread.

        Raises:
            LabelFailed: when SCF, coupled cluster or lambda equations do not converge.
            InputError: for a combination that is not proved.
        """
        from pyscf import lib

        # The force on a single atom is zero whatever the method; PySCF's open-shell gradients stumble over some atoms.
        single = len(configuration.numbers) == 1
        derivative = forces and not single
        check_supported(
            self.level, charge=configuration.charge, multiplicity=configuration.multiplicity, forces=derivative
        )
        with lib.with_omp_threads(1), _tight_response():
            mean_field, rungs = self._solve_scf(configuration)
            energy, gradient = _FAMILIES[self.level.family](mean_field, derivative)
            if forces and single:
                gradient = np.zeros((1, 3))
            dipole = None
            if self.level.family in ("hf", "dft") and configuration.charge == 0:
                dipole = np.asarray(mean_field.dip_moment(unit="AU", verbose=0)) * BOHR
        return Result(
            energy=energy * HARTREE,
            forces=None if gradient is None else -gradient * HARTREE_PER_BOHR,
            dipole=dipole,
            rungs=rungs,
        )

    def _solve_scf(self, configuration: Configuration) -> tuple[Any, tuple[str, ...]]:
        """A converged mean field and the rungs of the ladder that it took."""
        from pyscf import dft, gto, scf

        molecule = gto.M(
            atom=list(zip(configuration.symbols, configuration.positions / BOHR, strict=True)),
            unit="Bohr",
            basis=self.level.basis,
            charge=configuration.charge,
            spin=configuration.multiplicity - 1,
            symmetry=False,
            verbose=0,
        )
        restricted = configuration.multiplicity == 1
        if self.level.family == "dft":
            mean_field = (dft.RKS if restricted else dft.UKS)(molecule, xc=self.level.definition.functional)
            mean_field.grids.level = SETTINGS["grid_level"]
        else:
            mean_field = (scf.RHF if restricted else scf.UHF)(molecule)
        if self.level.dispersion:
            # The damping parameters of b3lyp5 are those of b3lyp: the two differ in the local correlation they contain.
            name = {"b3lyp5": "d3bj:b3lyp"}.get(self.level.method, self.level.dispersion)
            mean_field.disp = name
        mean_field.conv_tol = SETTINGS["scf_energy"]
        mean_field.conv_tol_grad = SETTINGS["scf_gradient"]
        mean_field.max_cycle = SCF_CYCLES
        mean_field.chkfile = None
        mean_field.kernel()
        if mean_field.converged:
            return mean_field, ("default",)
        # Second-order SCF starts from where DIIS gave up and follows the energy downhill. It stalls short of the tight
        # thresholds, so DIIS finishes from its density: the label is converged like any other.
        second_order = mean_field.newton()
        second_order.conv_tol, second_order.conv_tol_grad = SECOND_ORDER_THRESHOLDS
        second_order.max_cycle = SECOND_ORDER_CYCLES
        second_order.kernel(mean_field.mo_coeff, mean_field.mo_occ)
        mean_field.kernel(dm0=second_order.make_rdm1())
        if not mean_field.converged:
            raise LabelFailed(
                f"SCF not converged in {SCF_CYCLES} cycles, nor from a second-order density",
                rungs=("default", "second-order"),
            )
        return mean_field, ("default", "second-order")


@contextlib.contextmanager
def _tight_response() -> Iterator[None]:
    """Let PySCF converge the orbital response of correlated gradients.

    Its Krylov solver gives up when a trial vector's squared norm falls below 1e-13, whatever tolerance was asked for:
    the forces of open-shell MP2 and CCSD are then off by 3e-4 eV/Å, with the limit below by 3e-7 (HO2 in 6-31G).
    """
    from pyscf import lib

    original = lib.krylov

    def krylov(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **{**kwargs, "lindep": 1e-24, "max_cycle": RESPONSE_CYCLES})

    lib.krylov = krylov
    try:
        yield
    finally:
        lib.krylov = original


def _mean_field(mean_field: Any, forces: bool) -> Outcome:
    """HF and DFT."""
    gradient = None
    if forces:
        method = mean_field.nuc_grad_method()
        if hasattr(method, "grid_response"):
            method.grid_response = SETTINGS["grid_response"]
        gradient = method.kernel()
    return float(mean_field.e_tot), gradient


def _mp2(mean_field: Any, forces: bool) -> Outcome:
    from pyscf import mp

    perturbation = mp.MP2(mean_field, frozen=_frozen_core(mean_field))
    perturbation.kernel(with_t2=forces)
    return float(perturbation.e_tot), perturbation.nuc_grad_method().kernel() if forces else None


def _ccsd(mean_field: Any, forces: bool) -> Outcome:
    cluster, integrals = _solve_ccsd(mean_field)
    gradient = None
    if forces:
        cluster.conv_tol_normt = SETTINGS["lambda"]
        cluster.solve_lambda(eris=integrals)
        if not cluster.converged_lambda:
            raise LabelFailed(f"CCSD lambda equations not converged in {CC_CYCLES} cycles")
        gradient = cluster.nuc_grad_method().kernel(cluster.t1, cluster.t2, cluster.l1, cluster.l2, eris=integrals)
    return float(cluster.e_tot), gradient


def _ccsd_t(mean_field: Any, forces: bool) -> Outcome:
    """CCSD(T), its gradient with the lambda amplitudes of (T).

    ``pyscf.grad.ccsd_t.Gradients(cc).kernel()`` on its own takes those of CCSD and is silently wrong by up to 0.1 eV/Å.
    """
    from pyscf.lib import logger

    cluster, integrals = _solve_ccsd(mean_field)
    # The open-shell function prints its result unless given a quiet logger.
    quiet = logger.Logger(io.StringIO(), 0)
    if mean_field.mol.spin:
        from pyscf.cc import uccsd_t

        triples = uccsd_t.kernel(cluster, integrals, cluster.t1, cluster.t2, verbose=quiet)
        return float(cluster.e_tot + triples), None
    triples = cluster.ccsd_t(eris=integrals)
    gradient = None
    if forces:
        from pyscf.cc import ccsd_t_lambda
        from pyscf.grad import ccsd_t

        converged, l1, l2 = ccsd_t_lambda.kernel(
            cluster,
            integrals,
            cluster.t1,
            cluster.t2,
            max_cycle=CC_CYCLES,
            tol=SETTINGS["lambda"],
            verbose=quiet,
        )
        if not converged:
            raise LabelFailed(f"CCSD(T) lambda equations not converged in {CC_CYCLES} cycles")
        gradient = ccsd_t.Gradients(cluster).kernel(cluster.t1, cluster.t2, l1, l2, eris=integrals)
    return float(cluster.e_tot + triples), gradient


def _solve_ccsd(mean_field: Any) -> tuple[Any, Any]:
    """Converged amplitudes and the transformed integrals, which every later step uses again."""
    from pyscf import cc

    cluster = cc.CCSD(mean_field, frozen=_frozen_core(mean_field))
    cluster.conv_tol = SETTINGS["cc_energy"]
    cluster.conv_tol_normt = SETTINGS["cc_amplitudes"]
    cluster.max_cycle = CC_CYCLES
    integrals = cluster.ao2mo()
    cluster.kernel(eris=integrals)
    if not cluster.converged:
        raise LabelFailed(f"CCSD not converged in {CC_CYCLES} cycles")
    return cluster, integrals


def _frozen_core(mean_field: Any) -> int:
    """Number of core orbitals as PySCF counts them: those of the noble gas before each atom.

    Raises:
        LabelFailed: when no electron would be left to correlate.
    """
    from pyscf.data import elements

    frozen = int(elements.chemcore(mean_field.mol))
    if mean_field.mol.nelectron <= 2 * frozen:
        raise LabelFailed(f"all {mean_field.mol.nelectron} electrons are core electrons, none is left to correlate")
    return frozen


_FAMILIES: Final[dict[str, Callable[[Any, bool], Outcome]]] = {
    "hf": _mean_field,
    "dft": _mean_field,
    "mp2": _mp2,
    "ccsd": _ccsd,
    "ccsd(t)": _ccsd_t,
}
