"""Density fitting: PySCF's energies and gradients where it has them, and close to the exact integrals."""

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.engines import make_labeller
from asteroid.engines.pyscf import density_fitting, density_functional, fitted_mp2, plain
from asteroid.engines.pyscf.ab_initio import SETTINGS, THRESHOLDS
from asteroid.engines.pyscf.mean_field import make_mean_field, solve
from asteroid.errors import LabelFailed
from asteroid.labelling.atoms import free_atom
from tests.labelling.reference import FORMALDEHYDE, PEROXYL, WATER, WATER_CATION, level

HYDROGEN = Configuration([1, 1], [[0, 0, 0], [0.1, 0.2, 0.8]])


def mean_field(text, configuration):
    solved = make_mean_field(level(text), configuration, grid_level=1)
    solved.conv_tol, solved.conv_tol_grad = SETTINGS["scf_energy"], SETTINGS["scf_gradient"]
    solve(solved, plain=True)
    return solved


@pytest.mark.parametrize(
    ("text", "configuration"),
    [
        ("df-hf/6-31g", FORMALDEHYDE),
        ("df-hf-d3bj/6-31g", PEROXYL),
        ("df-pbe/6-31g", PEROXYL),
        ("df-b3lyp/6-31g", WATER),
        ("df-wb97x/6-31g", WATER_CATION),
    ],
)
def test_the_gradient_of_a_mean_field_is_pyscf_s_own(text, configuration):
    # Of one density: the same equations, in another order.
    solved = mean_field(text, configuration)
    ours = density_fitting.hartree_fock if level(text).family == "hf" else density_functional.energy_and_gradient
    found, expected = ours(solved, True, THRESHOLDS), plain.mean_field(solved, True, THRESHOLDS)
    assert found.energy == expected.energy
    np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-9)
    np.testing.assert_allclose(found.dipole, expected.dipole, atol=1e-12)


def test_the_integrals_are_computed_once_also_without_exact_exchange(monkeypatch):
    from pyscf.df import df_jk

    monkeypatch.delattr(df_jk, "get_j")  # PySCF's, which computes them in each call
    mean_field("df-pbe/sto-3g", WATER)


@pytest.mark.parametrize("configuration", [FORMALDEHYDE, HYDROGEN, WATER_CATION], ids=["closed", "no core", "open"])
def test_mp2_has_the_energy_and_the_relaxed_dipole_of_pyscf(configuration):
    from pyscf.mp.dfmp2_native import DFRMP2
    from pyscf.mp.dfump2_native import DFUMP2

    solved = mean_field("df-mp2/6-31g", configuration)
    found = fitted_mp2.mp2(solved, True, THRESHOLDS)
    method = DFRMP2 if configuration.multiplicity == 1 else DFUMP2
    pyscf = method(solved, frozen=plain.frozen_core(solved.mol))
    pyscf.cphf_tol = 1e-10
    pyscf.kernel()
    density = np.asarray(pyscf.make_rdm1(relaxed=True, ao_repr=True))
    density = density if density.ndim == 2 else density.sum(axis=0)
    assert found.energy == pytest.approx(pyscf.e_tot, abs=1e-10)
    assert fitted_mp2.mp2(solved, False, THRESHOLDS).energy == pytest.approx(found.energy, abs=1e-12)
    # PySCF's response is converged to 1e-6.
    np.testing.assert_allclose(found.dipole, solved.dip_moment(solved.mol, density, unit="AU", verbose=0), atol=1e-5)


def test_unrestricted_mp2_of_a_closed_shell_is_restricted_mp2():
    from pyscf import scf

    restricted = mean_field("df-mp2/6-31g", WATER)
    unrestricted = density_fitting.fit(scf.UHF(restricted.mol)).set(conv_tol=1e-11, conv_tol_grad=1e-8)
    unrestricted.kernel()
    one, two = (fitted_mp2.mp2(each, True, THRESHOLDS) for each in (restricted, unrestricted))
    assert one.energy == pytest.approx(two.energy, abs=1e-9)
    # The restricted orbitals are converged to 3e-7.
    np.testing.assert_allclose(one.gradient, two.gradient, atol=1e-6)


@pytest.mark.parametrize("text", ["hf/def2-svp", "mp2/def2-svp", "mp2/cc-pvtz", "b3lyp/def2-svp"])
def test_fitted_levels_are_close_to_the_exact_integrals_but_not_equal(text):
    exact, fitted = (make_labeller(level(prefix + text)).compute(FORMALDEHYDE) for prefix in ("", "df-"))
    # Auxiliary basis sets are made for errors of 50 µhartree an atom, 1.4 meV. The largest force error, 7 meV/Å, is
    # along the C=O bond.
    assert 1e-6 < abs(exact.energy - fitted.energy) / 4 < 2e-3
    assert 1e-6 < abs(exact.forces - fitted.forces).max() < 1e-2
    np.testing.assert_allclose(exact.dipole, fitted.dipole, atol=2e-3)


@pytest.mark.parametrize("text", ["pbe/def2-svp", "b3lyp-d3bj/def2-svp"])
def test_a_coarse_grid_moves_forces_by_little_but_moves_them(text):
    usual, coarse = (make_labeller(level(prefix + text)).compute(FORMALDEHYDE) for prefix in ("df-", "coarse-df-"))
    assert 1e-5 < abs(usual.energy - coarse.energy) / 4 < 1e-3
    assert 1e-4 < abs(usual.forces - coarse.forces).max() < 2e-2
    np.testing.assert_allclose(usual.dipole, coarse.dipole, atol=2e-3)


@pytest.mark.parametrize("text", ["df-hf/6-31g", "df-mp2/6-31g"])
def test_integrals_on_disk_and_in_small_blocks_give_the_same_label(monkeypatch, text):
    whole = make_labeller(level(text)).compute(WATER)
    monkeypatch.setattr(density_fitting, "MEMORY", 1)
    monkeypatch.setattr(density_fitting, "BLOCK", 1)
    parts = make_labeller(level(text)).compute(WATER)
    assert parts.energy == pytest.approx(whole.energy, abs=1e-7)
    np.testing.assert_allclose(parts.forces, whole.forces, atol=1e-5)
    np.testing.assert_allclose(parts.dipole, whole.dipole, atol=1e-5)


def test_an_atom_whose_spins_differ_in_correlated_orbitals_has_an_energy():
    # Lithium has one valence electron and nitrogen none of β spin beyond its pair.
    for number in (3, 7):
        exact, fitted = (free_atom(level(name), number).energy for name in ("mp2/6-31g", "df-mp2/6-31g"))
        assert fitted == pytest.approx(exact, abs=5e-3)


def test_a_single_electron_has_no_fitted_mp2_energy_and_the_reason_says_what_to_write():
    cation = Configuration(np.array([1, 1]), np.array([[0, 0, 0], [1.1, 0.1, 0]]), charge=1, multiplicity=2)
    with pytest.raises(LabelFailed, match="electrons of both spins; write the level without df-"):
        make_labeller(level("df-mp2/cc-pvdz")).compute(cation)
