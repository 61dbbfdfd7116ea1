"""The Gaussian process behind corrected labels: exactness, symmetries, and its own estimate of its error."""

import dataclasses

import numpy as np
import pytest
from ase.build import molecule

from asteroid.configuration import Configuration
from asteroid.errors import TrainingError
from asteroid.training import iterative, kernel
from asteroid.training.dataset import LabelledFrame
from asteroid.training.kernel import Hyperparameters, KernelModel
from asteroid.training.symmetry import MOST, equivalent_permutations
from tests.training.conftest import Labels, label

SHAPE = Hyperparameters("gaussian", 0.5, 1e-10)


@pytest.fixture(scope="module")
def model(water: Labels) -> KernelModel:
    return KernelModel(water.accurate[:20])


def test_the_labels_it_was_fitted_to_are_reproduced(water: Labels) -> None:
    frames = water.accurate[:10]
    energies, forces = KernelModel(frames, hyperparameters=SHAPE).predict([f.configuration for f in frames])
    np.testing.assert_allclose(energies, [f.energy for f in frames], atol=5e-4)  # labels span 2 eV
    np.testing.assert_allclose(forces, [f.forces for f in frames], atol=5e-3)  # and 9 eV/Å


def test_other_geometries_are_predicted_to_a_few_hundredths_of_their_forces(model: KernelModel, water: Labels) -> None:
    rest = water.accurate[20:]
    energies, forces = model.predict([f.configuration for f in rest])
    truth = np.array([f.forces for f in rest])
    assert np.abs(np.array(forces) - truth).mean() < 0.03 * np.abs(truth).mean()
    assert np.abs(energies - [f.energy for f in rest]).mean() < 0.02


@pytest.mark.parametrize("kind", ["gaussian", "matern"])
def test_forces_are_minus_the_finite_difference_of_energy(water: Labels, kind: str) -> None:
    model = KernelModel(water.accurate[:8], hyperparameters=Hyperparameters(kind, 0.5, 1e-6))  # type: ignore[arg-type]
    configuration = water.accurate[30].configuration
    _, (forces,) = model.predict([configuration])
    step = 1e-4
    for atom, axis in np.ndindex(3, 3):
        energies = []
        for sign in (1, -1):
            positions = configuration.positions.copy()
            positions[atom, axis] += sign * step
            energies.append(model.predict([Configuration(configuration.numbers, positions)])[0][0])
        assert forces[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-5)


def test_rotated_moved_and_exchanged_atoms_have_the_same_energy_and_turned_forces(
    model: KernelModel, water: Labels
) -> None:
    configuration = water.accurate[30].configuration
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    exchanged = [0, 2, 1]
    turned = Configuration(configuration.numbers, (configuration.positions @ rotation.T + 2.5)[exchanged])
    (energy, other), (forces, turned_forces) = model.predict([configuration, turned])
    assert energy == pytest.approx(other, abs=1e-8)
    np.testing.assert_allclose(turned_forces, (forces @ rotation.T)[exchanged], atol=1e-8)


def test_the_error_of_leaving_out_a_frame_is_that_of_a_model_without_it(water: Labels) -> None:
    frames = water.accurate[:8]
    shape = Hyperparameters("gaussian", 0.5, 1e-4)
    permutations = equivalent_permutations([f.configuration for f in frames])
    errors = []
    for left_out in frames:
        others = [frame for frame in frames if frame is not left_out]
        _, (forces,) = KernelModel(others, permutations, shape).predict([left_out.configuration])
        errors.append(np.abs(forces - left_out.forces).mean())
    # The mean of the energies and the scale of the noise, too, change a little when a frame is left out.
    assert KernelModel(frames, permutations, shape).left_out_error == pytest.approx(np.mean(errors), rel=0.02)


def test_the_variance_of_an_energy_is_its_mean_squared_error(water: Labels) -> None:
    frames, rest = water.accurate[:10], water.accurate[10:]
    model = KernelModel(frames)
    configurations = [frame.configuration for frame in rest]
    predicted = model.predict(configurations)
    _, ratios = model.fade(configurations, predicted)
    squared = (predicted[0] - [frame.energy for frame in rest]) ** 2
    variances = ratios * np.var([frame.energy for frame in frames], ddof=1)
    # A few of the 30 errors make most of both means.
    assert 0.2 < squared.mean() / variances.mean() < 5
    assert np.corrcoef(np.log(squared), np.log(variances))[0, 1] > 0.5


def test_predictions_near_the_labels_do_not_fade(model: KernelModel, water: Labels) -> None:
    configurations = [frame.configuration for frame in water.accurate]
    energies, forces = model.predict(configurations)
    (same, same_forces), ratios = model.fade(configurations, (energies, forces))
    assert ratios.max() < 1
    np.testing.assert_array_equal(same, energies)
    np.testing.assert_array_equal(same_forces, forces)


def test_a_step_between_levels_that_differ_by_noise_does_not_fade(water: Labels) -> None:
    # As between a coarse and a fine integration grid: forces vary by far more than the energies explain.
    rng = np.random.default_rng(0)
    noise = [
        dataclasses.replace(f, energy=rng.normal(scale=0.5e-3), forces=rng.normal(scale=5e-3, size=(3, 3)))
        for f in water.accurate[:20]
    ]
    like_them = [frame.configuration for frame in water.accurate[20:]]
    model = KernelModel(noise)
    _, ratios = model.fade(like_them, model.predict(like_them))
    assert (ratios > 1).mean() < 0.1


def stretched(configuration: Configuration, length: float) -> Configuration:
    """Water whose first O–H bond has this length in Å."""
    positions = configuration.positions.copy()
    bond = positions[1] - positions[0]
    positions[1] = positions[0] + length * bond / np.linalg.norm(bond)
    return configuration.with_positions(positions)


def test_far_from_the_labels_the_energy_is_the_mean_of_those_learnt(water: Labels) -> None:
    frames = water.accurate[:20]
    model = KernelModel(frames, hyperparameters=SHAPE)
    far = [stretched(frames[0].configuration, length) for length in (2.0, 3.0, 9.0)]
    (energies, _), ratios = model.fade(far, model.predict(far))
    assert (ratios > 1).all()
    assert (np.diff(ratios) > 0).all()
    spread = np.std([frame.energy for frame in frames], ddof=1)
    assert np.abs(energies - np.mean([frame.energy for frame in frames])).max() < 2 * spread


@pytest.mark.parametrize("kind", ["gaussian", "matern"])
@pytest.mark.parametrize("with_forces", [True, False])
def test_forces_fade_along_the_gradient_of_the_variance(water: Labels, kind: str, with_forces: bool) -> None:
    # Cov(E, ∇E) = ½ ∇Var(E), so that the finite difference of the variance gives the change of the forces.
    frames = [frame if with_forces else dataclasses.replace(frame, forces=None) for frame in water.accurate[:8]]
    model = KernelModel(frames, hyperparameters=Hyperparameters(kind, 0.5, 1e-6))  # type: ignore[arg-type]
    far = stretched(water.accurate[0].configuration, 2.0)
    predicted = model.predict([far])
    ((energy,), (forces,)), (ratio,) = model.fade([far], predicted)
    assert ratio > 1
    assert energy == pytest.approx(np.mean([f.energy for f in frames]) * (1 - 1 / ratio) + predicted[0][0] / ratio)
    step = 1e-4
    for atom, axis in np.ndindex(3, 3):
        shifted = []
        for sign in (1, -1):
            positions = far.positions.copy()
            positions[atom, axis] += sign * step
            shifted.append(far.with_positions(positions))
        _, (up, down) = model.fade(shifted, model.predict(shifted))
        expected = (predicted[0][0] - energy) * (up - down) / (2 * step) / (2 * ratio)
        assert forces[atom, axis] - predicted[1][0][atom, axis] == pytest.approx(expected, abs=1e-4)


def test_energies_alone_teach_forces(water: Labels) -> None:
    energies_alone = [dataclasses.replace(frame, forces=None) for frame in water.accurate[:30]]
    model = KernelModel(energies_alone)
    _, forces = model.predict([f.configuration for f in water.accurate[30:]])
    truth = np.array([f.forces for f in water.accurate[30:]])
    assert np.abs(np.array(forces) - truth).mean() < 0.25 * np.abs(truth).mean()


@pytest.mark.parametrize("energies_alone", [0, 10])
def test_labels_beyond_a_direct_fit_are_learnt_by_iterations(
    water: Labels, monkeypatch: pytest.MonkeyPatch, energies_alone: int
) -> None:
    frames, rest = water.accurate[:30], [frame.configuration for frame in water.accurate[30:]]
    frames[30 - energies_alone :] = [dataclasses.replace(f, forces=None) for f in frames[30 - energies_alone :]]
    shape = Hyperparameters("matern", 1.0, 1e-6)
    direct, few = (
        KernelModel(frames, hyperparameters=shape),
        KernelModel(frames[:10], equivalent_permutations([f.configuration for f in frames]), shape),
    )
    monkeypatch.setattr(kernel, "DIRECT_NUMBERS", 100)  # 10 frames
    monkeypatch.setattr(kernel, "PRECONDITIONER_NUMBERS", 50)
    monkeypatch.setattr(iterative, "TOLERANCE", 1e-7)
    model = KernelModel(frames, hyperparameters=shape)
    np.testing.assert_allclose(model.predict(rest)[0], direct.predict(rest)[0], atol=1e-5)
    np.testing.assert_allclose(model.predict(rest)[1], direct.predict(rest)[1], rtol=1e-4, atol=1e-4)
    assert np.abs(np.array(few.predict(rest)[1]) - direct.predict(rest)[1]).max() > 0.01
    # Its own error is estimated from the first ten.
    assert (model.labels, model.direct_labels) == (30, 10)
    assert model.left_out_error == pytest.approx(few.left_out_error)


def test_iterations_that_do_not_converge_leave_the_direct_fit(
    water: Labels, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    frames, rest = water.accurate[:30], [frame.configuration for frame in water.accurate[30:]]
    monkeypatch.setattr(kernel, "DIRECT_NUMBERS", 100)
    monkeypatch.setattr(iterative, "LARGEST_COUNT", 1)
    model = KernelModel(frames, hyperparameters=SHAPE)
    assert "first 10 of 30 pairs" in caplog.text
    alone = KernelModel(frames[:10], model.permutations, SHAPE)
    np.testing.assert_allclose(model.predict(rest)[1], alone.predict(rest)[1], atol=1e-3)


def test_a_constant_in_the_energy_changes_no_force(water: Labels) -> None:
    shifted = [dataclasses.replace(frame, energy=frame.energy + 1000.0) for frame in water.accurate[:8]]
    configuration = [water.accurate[30].configuration]
    energy, forces = KernelModel(water.accurate[:8], hyperparameters=SHAPE).predict(configuration)
    other, same = KernelModel(shifted, hyperparameters=SHAPE).predict(configuration)
    assert other[0] == pytest.approx(energy[0] + 1000, abs=1e-6)
    np.testing.assert_allclose(forces, same, atol=1e-6)


def test_atoms_in_another_order_are_refused(model: KernelModel) -> None:
    with pytest.raises(TrainingError, match="orders"):
        model.predict([Configuration([1, 8, 1], [[0, 0, 0], [0.96, 0, 0], [1.2, 0.93, 0]])])


def test_a_methyl_group_gives_six_permutations_and_a_moving_proton_doubles_them() -> None:
    numbers = [6, 8, 1, 1, 1, 1]
    methanol = np.array(
        [[0, 0, 0], [1.42, 0, 0], [-0.36, 1.03, 0], [-0.36, -0.51, 0.89], [-0.36, -0.51, -0.89], [1.74, 0.9, 0]]
    )
    assert len(equivalent_permutations([Configuration(numbers, methanol)])) == 6
    # Malonate-like: O–H…O, with the proton at either end.
    here = np.array([[0.0, 0, 0], [2.4, 0, 0], [1.0, 0, 0]])
    there = here.copy()
    there[2, 0] = 1.4
    chain = [Configuration([8, 8, 1], positions, multiplicity=2) for positions in (here, there)]
    assert len(equivalent_permutations(chain[:1])) == 1
    assert len(equivalent_permutations(chain)) == 2


def test_permutations_form_a_group() -> None:
    numbers = [6, 1, 1, 1, 1]
    methane = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * [[1.0]] * 0.63
    group = set(equivalent_permutations([Configuration(numbers, methane)]))
    assert len(group) == 24
    assert {tuple(a[i] for i in b) for a in group for b in group} == group


@pytest.mark.parametrize("smiles", ["CN(C)C", "CC(C)C", "C[N+](C)(C)C"])
def test_of_a_symmetry_group_that_is_too_large_a_part_is_taken_that_is_a_group(smiles: str) -> None:
    from rdkit import Chem
    from rdkit.Chem import AllChem

    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(molecule, randomSeed=1)
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    charge = Chem.GetFormalCharge(molecule)
    configuration = Configuration(numbers, molecule.GetConformer().GetPositions(), charge=charge)
    group = equivalent_permutations([configuration])
    assert 6 <= len(group) <= MOST
    assert group[0] == tuple(range(len(numbers)))
    assert {tuple(a[i] for i in b) for a in group for b in group} == set(group)


def test_two_copies_of_one_geometry_are_fitted_all_the_same(water: Labels) -> None:
    model = KernelModel([water.accurate[0]] * 2)
    energies, _ = model.predict([water.accurate[0].configuration])
    assert energies[0] == pytest.approx(water.accurate[0].energy, abs=1e-3)


@pytest.fixture(scope="module")
def propane() -> list[LabelledFrame]:
    """GFN2 labels of rattled geometries; from one methyl group to the other it is farther than a neighbourhood."""
    atoms = molecule("C3H8")
    displacements = np.random.default_rng(5).normal(scale=0.08, size=(30, len(atoms), 3))
    return label(atoms.numbers.tolist(), atoms.positions + displacements).accurate


@pytest.mark.long
def test_neighbourhoods_teach_more_of_a_large_molecule_than_the_whole_does(propane: list[LabelledFrame]) -> None:
    chosen = KernelModel(propane[:12])
    length = chosen.hyperparameters.length
    errors = {}
    for reach in (2.5, None):
        model = KernelModel(propane[:12], hyperparameters=Hyperparameters("gaussian", length, 1e-6, reach))
        _, forces = model.predict([frame.configuration for frame in propane[12:]])
        errors[reach] = np.abs(np.array(forces) - [frame.forces for frame in propane[12:]]).mean()
    assert chosen.hyperparameters.reach is not None
    assert errors[2.5] < 0.8 * errors[None]


@pytest.mark.parametrize("reach", [1.8, 2.5, None])
def test_a_sum_over_neighbourhoods_is_as_symmetric_and_conservative_as_the_whole(
    propane: list[LabelledFrame], reach: float | None
) -> None:
    model = KernelModel(propane[:6], hyperparameters=Hyperparameters("matern", 2.0, 1e-6, reach))
    assert len(model.permutations) == 144
    frame = propane[20].configuration
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    step = 1e-4 * np.random.default_rng(4).normal(size=frame.positions.shape)
    images = [
        frame,
        *[frame.with_positions((frame.positions @ turn.T - 1.5)[list(p)]) for p in model.permutations[1::20]],
        frame.with_positions(frame.positions + step),
        frame.with_positions(frame.positions - step),
    ]
    energies, forces = model.predict(images)
    np.testing.assert_allclose(energies[1:-2], energies[0], atol=1e-7)
    for permutation, turned in zip(model.permutations[1::20], forces[1:-2], strict=True):
        np.testing.assert_allclose(turned, (forces[0] @ turn.T)[list(permutation)], atol=1e-7)
    assert (energies[-2] - energies[-1]) / 2 == pytest.approx(-(forces[0] * step).sum(), rel=1e-4)
