"""Hessians, rigid motions and normal modes against springs, whose answers are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from asteroid.chemistry.vibrations import hessian, normal_modes, rigid_and_internal_modes
from asteroid.configuration import Configuration
from asteroid.units import HBAR, INVERSE_CENTIMETRE

HYDROGEN = Configuration([1, 1], [[0, 0, 0], [0, 0, 0.74]])
CARBON_DIOXIDE = Configuration([8, 6, 8], [[0, 0, -1.16], [0, 0, 0], [0, 0, 1.16]])
WATER = Configuration([8, 1, 1], [[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])


def spring(stiffness):
    """Forces of a bond of 0.74 Å with this force constant, eV/Å²."""

    def forces(configuration):
        bond = configuration.positions[1] - configuration.positions[0]
        length = np.linalg.norm(bond)
        pull = stiffness * (length - 0.74) * bond / length
        return np.array([pull, -pull])

    return forces


@pytest.fixture(scope="module")
def ethanol():
    from ase.build import molecule

    return Configuration.from_atoms(molecule("CH3CH2OH"))


def test_the_hessian_of_a_spring_is_analytic():
    found = hessian(spring(35.0), HYDROGEN)
    expected = np.zeros((6, 6))
    expected[np.ix_([2, 5], [2, 5])] = 35.0 * np.array([[1, -1], [-1, 1]])
    # Central differences: across the bond, a spring at rest stiffens by k/2 · (step / length)², here 8e-4 eV/Å².
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_error_of_the_hessian_grows_as_the_square_of_the_step():
    across = [hessian(spring(35.0), HYDROGEN, step=step)[0, 0] for step in (0.01, 0.02)]
    # The next term is of fourth order: (0.02 / 0.74)² of the leading one.
    assert across[1] / across[0] == pytest.approx(4, rel=2e-3)


def test_the_frequency_of_a_spring_is_analytic():
    found = normal_modes(HYDROGEN, hessian(spring(35.0), HYDROGEN)).wavenumbers
    # ω = sqrt(k/μ); the rest of the Hessian is five rigid motions.
    expected = HBAR * np.sqrt(35.0 / (1.008 / 2)) / INVERSE_CENTIMETRE
    assert found.shape == (1,)
    # Central differences at 0.005 Å: the bond's rotation mixes in at (step / length)², some 5e-5.
    assert found[0] == pytest.approx(expected, rel=1e-4)


def test_the_frequency_of_a_diatomic_is_the_root_of_force_constant_over_reduced_mass():
    stiffness, masses = 30.0, np.array([1.008, 35.45])
    molecule = Configuration([1, 17], [[0, 0, 0], [0, 0, 1.3]])
    second = np.zeros((6, 6))
    second[np.ix_([2, 5], [2, 5])] = stiffness * np.array([[1, -1], [-1, 1]])
    reduced = masses.prod() / masses.sum()
    # Only the rounding of atomic masses separates the two.
    assert normal_modes(molecule, second).frequencies == pytest.approx([np.sqrt(stiffness / reduced)], rel=1e-4)


def test_a_mode_that_curves_downwards_is_imaginary():
    assert normal_modes(HYDROGEN, hessian(spring(-35.0), HYDROGEN)).wavenumbers[0] < 0


def test_frequencies_do_not_depend_on_orientation(ethanol):
    from tblite.ase import TBLite

    def forces(configuration):
        atoms = configuration.to_atoms()
        atoms.calc = TBLite(method="GFN1-xTB", verbosity=0)
        return atoms.get_forces()

    turned = ethanol.with_positions(ethanol.positions @ Rotation.random(rng=1).as_matrix().T + [1, 2, 3])
    first, second = (normal_modes(c, hessian(forces, c)).wavenumbers for c in (ethanol, turned))
    # cm⁻¹: finite differences of an SCF converged to about 1e-6.
    np.testing.assert_allclose(first, second, atol=2.0)


def test_rigid_motions_and_vibrations_are_one_orthonormal_basis(ethanol):
    external, internal = rigid_and_internal_modes(ethanol.positions, np.ones(9))
    assert (external.shape, internal.shape) == ((27, 6), (27, 21))
    basis = np.hstack([external, internal])
    np.testing.assert_allclose(basis.T @ basis, np.eye(27), atol=1e-12)


BENT = np.array([[0, 0, 0], [1e-3, 0, 0], [0, 0, 0]])
"""Å, farther than an optimiser leaves carbon dioxide's atoms from their axis."""


@pytest.mark.parametrize(
    ("molecule", "rigid"),
    [
        (Configuration([18], [[1, 2, 3]]), 3),
        (Configuration([1, 1], [[0, 0, 0], [0.3, 0.2, 0.6]]), 5),
        (CARBON_DIOXIDE, 5),
        (CARBON_DIOXIDE.with_positions(CARBON_DIOXIDE.positions + BENT), 5),
        (WATER, 6),
    ],
)
def test_an_atom_a_linear_and_a_bent_molecule_have_3_5_and_6_rigid_motions(molecule, rigid):
    size = molecule.positions.size
    assert rigid_and_internal_modes(molecule.positions, molecule.numbers)[0].shape == (size, rigid)
    modes = normal_modes(molecule, np.eye(size))
    assert modes.frequencies.shape == (size - rigid,)
    assert modes.vectors.shape == (size - rigid, size // 3, 3)
