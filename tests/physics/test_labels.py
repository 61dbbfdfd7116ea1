"""Every label that asteroid offers: forces are derivatives of energies, and space has no preferred direction."""

import numpy as np
import pytest

from asteroid.errors import InputError
from asteroid.labelling import check_supported, make_labeller
from tests.labelling.reference import CATION, FORMALDEHYDE, PEROXYL, WATER, force_error, level

# SCF, amplitudes and lambda are converged to 1e-7 hartree/bohr and the fourth-order formula is good to 1e-6 eV/Å, so
# that wrong terms, which were 1e-2 eV/Å and more where we met them, stand out by far.
TOLERANCE = 1e-5

SEMIEMPIRICAL = [("gfn1-xtb", "tblite"), ("gfn2-xtb", "tblite"), ("gfn1-xtb", "xtb"), ("gfn2-xtb", "xtb")]
UNRESTRICTED = [
    "pbe",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("r2scan", "b3lyp5-d3bj", "wb97m-d3bj")),
]
FUNCTIONALS = ["pbe", "blyp-d3bj", "tpss", "r2scan-d3bj", "pbe0", "b3lyp", "b3lyp5-d3bj", "wb97x", "wb97m-d3bj"]


@pytest.mark.parametrize("configuration", [FORMALDEHYDE, PEROXYL, CATION], ids=["singlet", "doublet", "cation"])
@pytest.mark.parametrize(("method", "engine"), SEMIEMPIRICAL)
def test_semiempirical_forces_are_minus_the_finite_difference_of_energy(method, engine, configuration):
    # The charges are converged to 1e-8 at accuracy 0.01.
    assert force_error(method, configuration, engine=engine) < TOLERANCE


def test_gfn_ff_forces_are_minus_the_finite_difference_of_energy():
    # Its energy jumps by 1e-4 eV where the topology charges change; the step is short enough not to meet a jump here.
    assert force_error("gfn-ff", FORMALDEHYDE, step=2e-4) < TOLERANCE


@pytest.mark.parametrize("method", ["hf", "hf-d3bj", "mp2", "ccsd"])
@pytest.mark.parametrize("configuration", [FORMALDEHYDE, PEROXYL], ids=["restricted", "unrestricted"])
def test_wavefunction_forces_are_minus_the_finite_difference_of_energy(method, configuration):
    assert force_error(f"{method}/6-31g", configuration) < TOLERANCE


def test_ccsd_t_forces_are_minus_the_finite_difference_of_energy():
    # With the lambda amplitudes of CCSD, which PySCF takes by default, they are off by 0.1 eV/Å.
    assert force_error("ccsd(t)/6-31g", FORMALDEHYDE) < TOLERANCE


@pytest.mark.parametrize("functional", FUNCTIONALS)
def test_dft_forces_are_minus_the_finite_difference_of_energy(functional):
    # Only with the response of the grid: without it r2SCAN is off by 1e-3 eV/Å.
    assert force_error(f"{functional}/sto-3g", WATER) < TOLERANCE


@pytest.mark.parametrize("functional", UNRESTRICTED)
def test_unrestricted_dft_forces_are_minus_the_finite_difference_of_energy(functional):
    assert force_error(f"{functional}/sto-3g", PEROXYL) < TOLERANCE


@pytest.mark.slow
def test_forces_in_a_larger_basis_are_minus_the_finite_difference_of_energy():
    assert force_error("ccsd(t)/cc-pvdz", FORMALDEHYDE) < TOLERANCE


def rotation(seed: int) -> np.ndarray:
    """A random proper rotation."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]]


@pytest.mark.parametrize(
    ("text", "engine", "tolerance"),
    [
        ("gfn2-xtb", "tblite", 1e-6),
        ("gfn2-xtb", "xtb", 1e-5),
        ("gfn-ff", "xtb", 1e-6),
        ("hf/6-31g", None, 1e-5),
        ("mp2/6-31g", None, 1e-5),
        # The integration grid is fixed to the axes: its noise is all that is left.
        ("pbe0/6-31g", None, 5e-4),
    ],
)
def test_energy_is_invariant_and_forces_turn_with_the_molecule(text, engine, tolerance):
    labeller, turn = make_labeller(level(text), engine), rotation(3)
    first = labeller.compute(FORMALDEHYDE)
    moved = labeller.compute(FORMALDEHYDE.with_positions(FORMALDEHYDE.positions @ turn.T + [5.0, -3.0, 2.0]))
    assert moved.energy == pytest.approx(first.energy, abs=tolerance)
    assert np.allclose(moved.forces, first.forces @ turn.T, atol=tolerance)
    assert np.allclose(moved.dipole, first.dipole @ turn.T, atol=tolerance) if first.dipole is not None else True


def test_open_shell_triples_forces_are_refused_and_energies_are_not():
    triples = level("ccsd(t)/6-31g")
    with pytest.raises(InputError, match="write ccsd/6-31g"):
        check_supported(triples, charge=0, multiplicity=2)
    check_supported(triples, charge=0, multiplicity=2, forces=False)
    with pytest.raises(InputError, match="gfn2-xtb"):
        check_supported(level("gfn-ff"), charge=0, multiplicity=2)
