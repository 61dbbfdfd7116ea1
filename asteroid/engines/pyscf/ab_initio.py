"""The accurate levels: HF, DFT, MP2, CCSD and CCSD(T) with PySCF.

:class:`PyscfLabeller` solves a mean field (:mod:`asteroid.engines.pyscf.mean_field`), then computes energy and gradient
with the faster :mod:`asteroid.engines.pyscf.density_functional`, :mod:`asteroid.engines.pyscf.correlation` and, with
density fitting, :mod:`asteroid.engines.pyscf.density_fitting` and :mod:`asteroid.engines.pyscf.fitted_mp2`, or with
PySCF's own functions (:mod:`asteroid.engines.pyscf.plain`), which also check one label in :data:`CHECKED`. Atomic units
end here. Levels whose gradient differs from the finite difference of its energy (``tests/physics/test_labels.py``) are
refused by :func:`asteroid.engines.check_supported`. Correlated methods freeze the core, as published labels do.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import Result, check_supported, package_version, settings_hash
from asteroid.engines.pyscf import correlation, density_fitting, density_functional, fitted_mp2, plain
from asteroid.engines.pyscf.mean_field import RETRY_STEPS, make_mean_field, solve
from asteroid.engines.pyscf.plain import Method, Thresholds
from asteroid.errors import LabelFailed
from asteroid.levels import Family, LevelOfTheory
from asteroid.units import BOHR, HARTREE, HARTREE_PER_BOHR

SETTINGS: Final[dict[str, Any]] = {
    "scf_energy": 1e-9,  # hartree
    "scf_gradient": 3e-7,  # orbital gradient: the force error is of first order in it
    "scf_gradient_open": 3e-9,  # of open shells below MP2 and coupled cluster
    "cc_energy": 1e-8,  # hartree
    "cc_amplitudes": 1e-6,
    "lambda": 1e-6,
    "response": 1e-9,
    "grid_level": 4,
    "grid_response": True,
    "core": "frozen",
    "scf_ladder": ["default", *RETRY_STEPS],
}
"""Everything numerical that a level's name does not say.

With each threshold by itself, forces of formaldehyde and methanol, distorted by 0.1 Å in every coordinate, are within
4e-6 eV/Å of tight convergence. Radicals have soft orbital rotations: with the orbital gradient that suffices for closed
shells, MP2/cc-pVTZ energies of HO2 are off by 2e-8 hartree, and their slope differs from the forces by 4e-4 eV/Å.
"""

CHECKED: Final = 200
"""One frame in this many is labelled again by PySCF's own functions, and the forces are compared."""

ALLOWANCE: Final = 1e-4
"""eV/Å, largest accepted difference from PySCF's own forces; beyond it those become the label."""


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

    def load(self) -> None:
        import pyscf  # noqa: F401

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label, on one thread.

        Raises:
            LabelFailed: when SCF, coupled cluster or lambda equations do not converge.
            InputError: for a level that is not proved for this charge and multiplicity.
        """
        # The force on a single atom is zero, and PySCF's open-shell gradients fail for some atoms.
        single = len(configuration.numbers) == 1
        derivative = forces and not single
        check_supported(
            self.level, charge=configuration.charge, multiplicity=configuration.multiplicity, forces=derivative
        )
        method, plain_one = _fastest_method(self.level, configuration.multiplicity), plain_method(self.level)
        result = self._compute(configuration, forces, method)
        if method is plain_one or not derivative or not is_checked(configuration):
            return result
        check = self._compute(configuration, forces, plain_one)
        assert result.forces is not None
        assert check.forces is not None
        error = float(np.abs(result.forces - check.forces).max())
        return replace(result if error <= ALLOWANCE else check, check_error=error)

    def _gradient(self, configuration: Configuration) -> float:
        """The threshold of the orbital gradient."""
        open_shell = configuration.multiplicity > 1 and self.level.family not in ("hf", "dft")
        return float(SETTINGS["scf_gradient_open" if open_shell else "scf_gradient"])

    def _compute(self, configuration: Configuration, forces: bool, method: Method) -> Result:
        from pyscf import lib

        single = len(configuration.numbers) == 1
        with lib.with_omp_threads(1):
            mean_field = make_mean_field(self.level, configuration, grid_level=SETTINGS["grid_level"])
            mean_field.conv_tol, mean_field.conv_tol_grad = SETTINGS["scf_energy"], self._gradient(configuration)
            retry_steps = solve(mean_field, plain=method is plain_method(self.level))
            try:
                found = method(mean_field, forces and not single, THRESHOLDS)
            except LabelFailed as error:
                raise LabelFailed(str(error), retry_steps=retry_steps) from error
        gradient = np.zeros((1, 3)) if forces and single else found.gradient
        return Result(
            energy=found.energy * HARTREE,
            forces=None if gradient is None else -gradient * HARTREE_PER_BOHR,
            # The dipole of an ion depends on the origin.
            dipole=None if found.dipole is None or configuration.charge else np.asarray(found.dipole) * BOHR,
            spin_square=float(mean_field.spin_square()[0]) if configuration.multiplicity > 1 else None,
            retry_steps=retry_steps,
            positions=mean_field.mol.atom_coords() * BOHR,
        )


def is_checked(configuration: Configuration) -> bool:
    """Whether this frame is labelled twice, decided by its id."""
    return int(configuration.frame_id[:8], 16) % CHECKED == 0


THRESHOLDS: Final = Thresholds(
    energy=SETTINGS["cc_energy"],
    amplitudes=SETTINGS["cc_amplitudes"],
    multipliers=SETTINGS["lambda"],
    response=SETTINGS["response"],
)

PLAIN: Final[dict[Family, Method]] = {
    "hf": plain.mean_field,
    "dft": plain.mean_field,
    "mp2": plain.mp2,
    "ccsd": plain.ccsd,
    "ccsd(t)": plain.ccsd_t,
}
"""PySCF's own functions, by family."""

_FAST_OPEN_SHELL: Final[dict[Family, Method]] = {"dft": density_functional.energy_and_gradient}

_FAST: Final[dict[Family, Method]] = {
    **_FAST_OPEN_SHELL,
    "mp2": correlation.mp2,
    "ccsd": correlation.ccsd,
    "ccsd(t)": correlation.ccsd_t,
}

_FITTED: Final[dict[Family, Method]] = {
    "hf": density_fitting.hartree_fock,
    "dft": density_functional.energy_and_gradient,
    "mp2": fitted_mp2.mp2,
}


def plain_method(level: LevelOfTheory) -> Method:
    """PySCF's own function; for MP2 with density fitting, of which PySCF has only the energy, ours."""
    return fitted_mp2.mp2 if level.definition.fitted and level.family == "mp2" else PLAIN[level.family]


def _fastest_method(level: LevelOfTheory, multiplicity: int) -> Method:
    if level.definition.fitted:
        return _FITTED[level.family]
    return (_FAST if multiplicity == 1 else _FAST_OPEN_SHELL).get(level.family, PLAIN[level.family])
