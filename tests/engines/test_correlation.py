"""Closed-shell MP2 and coupled cluster: the numbers of plain PySCF, from less work."""

import dataclasses

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.engines.pyscf import correlation, plain
from asteroid.engines.pyscf.ab_initio import THRESHOLDS
from asteroid.engines.pyscf.mean_field import make_mean_field, solve
from asteroid.units import HARTREE_PER_BOHR
from tests.labelling.reference import FORMALDEHYDE, level

TIGHT = dataclasses.replace(THRESHOLDS, energy=1e-11, amplitudes=1e-8)
METHODS = [(correlation.mp2, plain.mp2), (correlation.ccsd, plain.ccsd), (correlation.ccsd_t, plain.ccsd_t)]

# No core (H2 and a hydride ion), one atom in the middle of the list with most functions, a bond half broken.
HYDROGEN = Configuration([1, 1], [[0, 0, 0], [0.1, 0.2, 0.8]])
STRETCHED = Configuration([1, 8, 1], [[-0.45, 1.42, 0.1], [0, 0, 0], [0.9, 0.16, 0.26]])


def mean_field(configuration, basis="6-31g"):
    solved = make_mean_field(level(f"hf/{basis}"), configuration, grid_level=0)
    solved.conv_tol, solved.conv_tol_grad = 1e-11, 1e-7
    solve(solved)
    return solved


@pytest.mark.parametrize("configuration", [FORMALDEHYDE, HYDROGEN, STRETCHED], ids=["formaldehyde", "H2", "stretched"])
@pytest.mark.parametrize(("fast", "slow"), METHODS, ids=["mp2", "ccsd", "ccsd(t)"])
def test_energy_and_forces_are_those_of_plain_pyscf(fast, slow, configuration):
    solved = mean_field(configuration)
    energy, gradient, _ = fast(solved, True, THRESHOLDS)
    expected_energy, expected_gradient, _ = slow(solved, True, THRESHOLDS)
    # The same amplitudes to the last iteration: only the orbital response is solved in another way.
    assert energy == pytest.approx(expected_energy, abs=1e-10)
    assert abs(gradient - expected_gradient).max() * HARTREE_PER_BOHR < 1e-6


@pytest.mark.parametrize(("fast", "slow"), METHODS, ids=["mp2", "ccsd", "ccsd(t)"])
def test_integrals_that_do_not_fit_into_memory_are_computed_again(fast, slow):
    solved = mean_field(STRETCHED)
    in_memory = fast(solved, True, THRESHOLDS)[1]
    solved._eri = None
    np.testing.assert_allclose(fast(solved, True, THRESHOLDS)[1], in_memory, atol=1e-9)


@pytest.mark.parametrize(("fast", "slow"), METHODS, ids=["mp2", "ccsd", "ccsd(t)"])
def test_what_does_not_fit_into_memory_is_left_to_plain_pyscf(fast, slow):
    solved = mean_field(STRETCHED)
    expected = slow(solved, True, THRESHOLDS)[1]
    solved.max_memory = 1
    # To the last bit: it is the same function that runs.
    assert np.array_equal(fast(solved, True, THRESHOLDS)[1], slow(solved, True, THRESHOLDS)[1])
    np.testing.assert_allclose(slow(solved, True, THRESHOLDS)[1], expected, atol=1e-8)


def test_blocks_of_basis_functions_add_up(monkeypatch):
    from asteroid.engines.pyscf import gradients

    solved = mean_field(STRETCHED)
    whole = correlation.mp2(solved, True, THRESHOLDS)[1]
    monkeypatch.setattr(gradients, "BLOCK", 1)
    np.testing.assert_allclose(correlation.mp2(solved, True, THRESHOLDS)[1], whole, atol=1e-12)


@pytest.mark.parametrize(
    "fast", [plain.mean_field, *(fast for fast, _ in METHODS)], ids=["hf", "mp2", "ccsd", "ccsd(t)"]
)
def test_the_dipole_is_minus_the_derivative_of_the_energy_by_an_electric_field(fast):
    field, direction = 1e-3, np.array([0.6, -0.48, 0.64])

    def energy(strength):
        # −μ·F: the electrons, of charge −1, gain r·F, and the nuclei lose Z R·F.
        unsolved = make_mean_field(level("hf/6-31g"), STRETCHED, grid_level=0)
        molecule = unsolved.mol
        unsolved.conv_tol, unsolved.conv_tol_grad = 1e-12, 1e-8
        core = unsolved.get_hcore() + strength * np.einsum("x,xij->ij", direction, molecule.intor("int1e_r"))
        unsolved.get_hcore = lambda *_: core
        solve(unsolved)
        nuclei = molecule.atom_charges() @ molecule.atom_coords() @ direction
        return fast(unsolved, False, TIGHT).energy - strength * nuclei

    slope = (8 * (energy(field) - energy(-field)) - (energy(2 * field) - energy(-2 * field))) / (12 * field)
    dipole = fast(mean_field(STRETCHED), True, THRESHOLDS).dipole
    # Energies are converged to 1e-10 hartree; the lambda amplitudes to 1e-6.
    assert dipole @ direction == pytest.approx(-slope, abs=1e-6)
