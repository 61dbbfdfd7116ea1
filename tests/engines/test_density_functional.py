"""DFT on two grids: the numbers of the fine grid alone."""

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.engines.pyscf import density_functional, plain
from asteroid.engines.pyscf.ab_initio import SETTINGS, THRESHOLDS
from asteroid.engines.pyscf.mean_field import make_mean_field, solve
from asteroid.units import HARTREE, HARTREE_PER_BOHR
from tests.labelling.reference import PEROXYL, WATER, level

STRETCHED = Configuration([1, 8, 1], [[-0.65, 1.42, 0.1], [0, 0, 0], [0.9, 0.16, 0.26]])


def mean_field(text, configuration):
    unsolved = make_mean_field(level(text), configuration, grid_level=3)
    unsolved.conv_tol, unsolved.conv_tol_grad = SETTINGS["scf_energy"], SETTINGS["scf_gradient"]
    return unsolved


@pytest.mark.parametrize(
    ("functional", "configuration"),
    [
        ("pbe", WATER),
        ("b3lyp", STRETCHED),
        ("wb97m-d3bj", WATER),
        ("r2scan", PEROXYL),
        pytest.param("wb97x", PEROXYL, marks=pytest.mark.long),
    ],
)
def test_energy_and_forces_are_those_of_the_fine_grid_alone(functional, configuration):
    ours, pyscf = mean_field(f"{functional}/6-31g", configuration), mean_field(f"{functional}/6-31g", configuration)
    assert solve(ours) == solve(pyscf, plain=True) == ("default",)
    energy, gradient, _ = density_functional.energy_and_gradient(ours, True, THRESHOLDS)
    expected_energy, expected_gradient, _ = plain.mean_field(pyscf, True, THRESHOLDS)
    # Energies are wrong in second, forces in first order of the orbital gradient, where both stop: 3e-7 hartree.
    assert energy * HARTREE == pytest.approx(expected_energy * HARTREE, abs=1e-8)
    assert abs(gradient - expected_gradient).max() * HARTREE_PER_BOHR < 1e-5


def test_the_gradient_without_matrices_is_pyscf_s_own():
    # Of one density, so that nothing but the contraction differs.
    solved = mean_field("tpss/6-31g", PEROXYL)
    solve(solved)
    gradient = density_functional.energy_and_gradient(solved, True, THRESHOLDS)[1]
    np.testing.assert_allclose(gradient, plain.mean_field(solved, True, THRESHOLDS)[1], atol=1e-9)


def test_long_range_integrals_are_kept_only_where_they_fit():
    roomy, tight = mean_field("wb97x/6-31g", WATER), mean_field("wb97x/6-31g", WATER)
    tight.max_memory = 0.01
    plain_function = tight.get_jk
    density_functional.keep_long_range_integrals(roomy)
    density_functional.keep_long_range_integrals(tight)
    assert tight.get_jk == plain_function
    density = roomy.get_init_guess()
    kept = roomy.get_k(roomy.mol, density, omega=0.3)
    np.testing.assert_allclose(kept, tight.get_k(tight.mol, density, omega=0.3), atol=1e-8)
