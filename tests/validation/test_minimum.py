import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from asteroid.chemistry.vibrations import normal_modes
from asteroid.configuration import Configuration
from asteroid.validation.minimum import (
    CONVERGED,
    aligned_rmsd,
    compare_coordinates,
    compare_minima,
    find_minimum,
    model_hessian,
    newton_step,
    next_geometry,
)
from tests.validation.conftest import Spring


def forces_of(calculator, configuration):
    atoms = configuration.to_atoms()
    atoms.calc = calculator
    return atoms.get_forces()


def test_frequencies_agree_with_ase(ethanol, gfn, tmp_path):
    from ase.vibrations import Vibrations

    minimum, converged = find_minimum(gfn(1), ethanol)
    assert converged
    found = normal_modes(minimum, model_hessian(gfn(1), minimum)).wavenumbers
    assert len(found) == 3 * 9 - 6
    assert (found > 0).all()
    atoms = minimum.to_atoms()
    atoms.calc = gfn(1)
    vibrations = Vibrations(atoms, delta=0.005, name=str(tmp_path / "vib"))
    vibrations.run()
    # ASE does not project the rigid motions out; modes above 300 cm⁻¹ hardly mix with them.
    np.testing.assert_allclose(found[2:], np.sort(vibrations.get_frequencies().real)[8:], atol=3.0)


def test_an_optimisation_that_runs_out_of_steps_says_so(ethanol, gfn):
    assert not find_minimum(gfn(1), ethanol, max_steps=1)[1]


def test_a_newton_step_solves_a_spring_of_the_same_stiffness_at_once(hydrogen):
    longer = Spring(k=35.0, r0=0.80)
    step = newton_step(model_hessian(Spring(k=35.0), hydrogen), forces_of(longer, hydrogen), hydrogen)
    # A quadratic potential: exact but for the finite differences of the Hessian.
    assert np.linalg.norm(step.positions[1] - step.positions[0]) == pytest.approx(0.80, abs=1e-4)


def test_a_newton_step_is_limited_and_moves_no_centre_of_mass(ethanol):
    rng = np.random.default_rng(0)
    forces = rng.normal(size=(9, 3))
    step = newton_step(np.eye(27), 100 * forces, ethanol, max_step=0.1)
    moved = step.positions - ethanol.positions
    assert np.linalg.norm(moved, axis=1).max() == pytest.approx(0.1)
    np.testing.assert_allclose(moved.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cross(ethanol.positions, moved).sum(axis=0), 0, atol=1e-12)


def test_a_mode_that_curves_downwards_in_the_model_is_followed_downhill(hydrogen):
    accurate = Spring(k=35.0, r0=0.80)
    step = newton_step(model_hessian(Spring(k=-35.0), hydrogen), forces_of(accurate, hydrogen), hydrogen)
    assert np.linalg.norm(step.positions[1] - step.positions[0]) > 0.74


def test_four_labels_lead_from_the_gfn1_minimum_to_the_gfn2_minimum(ethanol, gfn):
    model, accurate = gfn(1), gfn(2)
    start, _ = find_minimum(model, ethanol)
    curvature = model_hessian(model, start)
    labelled = [(start, forces_of(accurate, start))]
    while np.abs(labelled[-1][1]).max() >= CONVERGED and len(labelled) < 4:
        geometry = next_geometry(curvature, labelled)
        labelled.append((geometry, forces_of(accurate, geometry)))
    direct, _ = find_minimum(accurate, start, fmax=1e-3)

    found = compare_minima(curvature, labelled)
    assert found.converged
    assert found.labels <= 4
    # An SCF started from another density ends within 1e-4 eV/Å.
    assert found.residual_force == pytest.approx(np.abs(forces_of(accurate, start)).max(), abs=3e-4)
    # At a residual of 0.01 eV/Å and the softest bending modes of some 5 eV/Å², 2e-3 Å are left.
    assert aligned_rmsd(labelled[-1][0], direct) < 2e-3
    assert found.rmsd == pytest.approx(aligned_rmsd(start, direct), abs=2e-3)


def test_labels_already_made_sharpen_the_next_step(ethanol, gfn):
    """BFGS updates after three steps leave less force than the model's curvature alone."""
    model, accurate = gfn(1), gfn(2)
    start, _ = find_minimum(model, ethanol)
    curvature = model_hessian(model, start)
    updated, plain = [(start, forces_of(accurate, start))], start
    for _ in range(3):
        geometry = next_geometry(curvature, updated)
        updated.append((geometry, forces_of(accurate, geometry)))
        plain = newton_step(curvature, forces_of(accurate, plain), plain)
    assert np.abs(updated[-1][1]).max() < np.abs(forces_of(accurate, plain)).max()


def test_rmsd_is_blind_to_rotation_but_not_to_mirror_images():
    chiral = Configuration(
        [6, 1, 9, 17, 35], [[0, 0, 0], [0, 0, 1.1], [1.3, 0, -0.4], [-0.8, 1.5, -0.5], [-0.9, -1.7, -0.6]]
    )
    turned = chiral.with_positions(chiral.positions @ Rotation.random(rng=3).as_matrix().T - [4, 5, 6])
    assert aligned_rmsd(chiral, turned) == pytest.approx(0, abs=1e-7)
    assert aligned_rmsd(chiral, chiral.with_positions(chiral.positions * [1, 1, -1])) > 0.3


def test_bonds_and_angles_of_water_are_listed():
    def water(length, angle):
        half = np.radians(angle) / 2
        y, z = length * np.sin(half), length * np.cos(half)
        return Configuration([8, 1, 1], [[0, 0, 0], [0, y, z], [0, -y, z]])

    rows = compare_coordinates(water(0.97, 105.0), water(0.96, 104.5))
    assert [(r.kind, r.atoms) for r in rows] == [("bond", "O0–H1"), ("bond", "O0–H2"), ("angle", "H1–O0–H2")]
    assert (rows[0].model, rows[0].accurate) == (pytest.approx(0.97), pytest.approx(0.96))
    assert (rows[2].model, rows[2].accurate) == (pytest.approx(105.0), pytest.approx(104.5))
