"""What nature demands of any force field, checked on a MACE model as asteroid builds it."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from asteroid.configuration import Configuration
from asteroid.manifest import ModelSettings
from asteroid.training.model import build_model, set_reference_energies
from asteroid.training.predict import predict

TOLERANCE = 1e-9
"""eV and eV/Å: rounding of double precision in sums over a few atoms."""

Model = torch.nn.Module


@pytest.fixture(scope="module")
def model() -> Model:
    """Random weights: a symmetry that only a trained model had would be an accident."""
    settings = ModelSettings(channels=8, max_l=1, max_ell=2, correlation=2, radial=4, r_max=4.0)
    references = {1: -13.6, 6: -1030.0, 8: -2040.0}
    model = build_model([1, 6, 8], settings, scale=1.0, avg_num_neighbors=3.0, seed=5, dtype=torch.float64)
    set_reference_energies(model, references)
    return model


@pytest.fixture(scope="module")
def formaldehyde() -> Configuration:
    positions = [[0.0, 0.0, 1.21], [0.05, 0.0, 0.0], [0.94, 0.1, -0.58], [-0.94, 0.0, -0.6]]
    return Configuration([8, 6, 1, 1], positions)


def energy_and_forces(model: Model, configuration: Configuration) -> tuple[float, np.ndarray]:
    energies, forces = predict(model, [configuration])
    return float(energies[0]), forces[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rotation_leaves_the_energy_alone_and_turns_the_forces(
    model: Model, formaldehyde: Configuration, seed: int
) -> None:
    rotation = Rotation.random(random_state=seed).as_matrix()
    energy, forces = energy_and_forces(model, formaldehyde)
    turned, turned_forces = energy_and_forces(model, formaldehyde.with_positions(formaldehyde.positions @ rotation.T))
    assert turned == pytest.approx(energy, abs=TOLERANCE)
    np.testing.assert_allclose(turned_forces, forces @ rotation.T, atol=TOLERANCE)
    assert np.abs(forces).max() > 0.01, "forces of zero would satisfy any symmetry"


def test_a_mirror_image_has_the_same_energy_and_mirrored_forces(model: Model, formaldehyde: Configuration) -> None:
    energy, forces = energy_and_forces(model, formaldehyde)
    mirrored, mirrored_forces = energy_and_forces(model, formaldehyde.with_positions(-formaldehyde.positions))
    assert mirrored == pytest.approx(energy, abs=TOLERANCE)
    np.testing.assert_allclose(mirrored_forces, -forces, atol=TOLERANCE)


def test_translation_changes_nothing(model: Model, formaldehyde: Configuration) -> None:
    shift = np.array([3.0, -20.0, 7.5])
    energy, forces = energy_and_forces(model, formaldehyde)
    moved, same = energy_and_forces(model, formaldehyde.with_positions(formaldehyde.positions + shift))
    assert moved == pytest.approx(energy, abs=TOLERANCE)
    np.testing.assert_allclose(same, forces, atol=TOLERANCE)


def test_permuting_atoms_permutes_the_forces(model: Model, formaldehyde: Configuration) -> None:
    order = np.array([3, 0, 2, 1])
    energy, forces = energy_and_forces(model, formaldehyde)
    permuted = Configuration(formaldehyde.numbers[order], formaldehyde.positions[order])
    same, permuted_forces = energy_and_forces(model, permuted)
    assert same == pytest.approx(energy, abs=TOLERANCE)
    np.testing.assert_allclose(permuted_forces, forces[order], atol=TOLERANCE)


def test_no_net_force_and_no_net_torque_act_on_an_isolated_molecule(model: Model, formaldehyde: Configuration) -> None:
    _, forces = energy_and_forces(model, formaldehyde)
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=TOLERANCE)
    np.testing.assert_allclose(np.cross(formaldehyde.positions, forces).sum(axis=0), 0.0, atol=TOLERANCE)


def test_forces_are_minus_the_finite_difference_of_energy(model: Model, formaldehyde: Configuration) -> None:
    step = 1e-4
    displaced = []
    for atom, axis in np.ndindex(4, 3):
        for sign in (1, -1):
            positions = formaldehyde.positions.copy()
            positions[atom, axis] += sign * step
            displaced.append(formaldehyde.with_positions(positions))
    energies, _ = predict(model, displaced)
    numerical = -(energies[0::2] - energies[1::2]) / (2 * step)
    _, forces = energy_and_forces(model, formaldehyde)
    # Central differences: step² times a third derivative, and 3000 eV rounded to 5e-13 over 2e-4 Å.
    np.testing.assert_allclose(forces.ravel(), numerical, atol=1e-5)


def test_molecules_of_one_batch_do_not_feel_each_other(model: Model, formaldehyde: Configuration) -> None:
    water = Configuration([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    energies, forces = predict(model, [formaldehyde, water, formaldehyde])
    alone, alone_forces = energy_and_forces(model, water)
    assert energies[1] == pytest.approx(alone, abs=TOLERANCE)
    np.testing.assert_allclose(forces[1], alone_forces, atol=TOLERANCE)
    assert energies[0] == pytest.approx(energies[2], abs=TOLERANCE)
