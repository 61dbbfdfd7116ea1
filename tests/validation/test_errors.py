import numpy as np
import pytest

from asteroid.validation.errors import Errors, improvement, measure_errors


def make_errors(noise: float, *, offset: float = 0.0, seed: int = 0, frames: int = 40) -> Errors:
    """Errors of Gaussian noise (eV/Å, eV) on frames of 3 or 4 atoms; the reference is the same for every noise."""
    reference, rng = np.random.default_rng(99), np.random.default_rng(seed)
    sizes = [3 + i % 2 for i in range(frames)]
    forces = [reference.normal(size=(n, 3)) for n in sizes]
    energies = reference.normal(-100, 1, size=frames)
    return measure_errors(
        [f"frame-{i}" for i in range(frames)],
        reference_energies=energies,
        predicted_energies=energies + offset + noise * rng.normal(size=frames),
        reference_forces=forces,
        predicted_forces=[f + noise * rng.normal(size=f.shape) for f in forces],
    )


def test_errors_of_two_frames_are_those_computed_by_hand():
    errors = measure_errors(
        ["a", "b"],
        reference_energies=[0.0, 0.0],
        predicted_energies=[0.3, -0.2],
        reference_forces=[np.zeros((3, 3)), np.zeros((1, 3))],
        predicted_forces=[np.full((3, 3), 0.1), np.array([[0.0, 0.0, -0.4]])],
    )
    # Per atom: 0.3/3 and 0.2/1. Forces: 9 components of 0.1 and one of 0.4 among 12.
    assert errors.energy_mae.value == pytest.approx(0.15)
    assert errors.energy_worst == pytest.approx(0.2)
    assert errors.total_energy_mae.value == pytest.approx(0.25)
    assert errors.force_mae.value == pytest.approx(1.3 / 12)
    assert errors.force_rmse.value == pytest.approx(np.sqrt((9 * 0.01 + 0.16) / 12))
    assert errors.force_worst == pytest.approx(0.4)


def test_a_constant_energy_offset_counts_as_an_error():
    assert make_errors(0.0, offset=1.0).total_energy_mae.value == pytest.approx(1.0)


def test_the_interval_holds_the_value_and_narrows_as_the_root_of_the_frames():
    few, many = make_errors(0.1, frames=40).force_mae, make_errors(0.1, frames=640).force_mae
    assert few.low < few.value < few.high
    # Expected 4; the widths are themselves estimates, good to about 20% with 40 frames.
    assert 2.5 < (few.high - few.low) / (many.high - many.low) < 6


def test_the_interval_covers_the_truth_about_19_times_in_20():
    truth = 0.1 * np.sqrt(2 / np.pi)  # mean |x| of Gaussian noise of width 0.1
    found = [make_errors(0.1, seed=seed).force_mae for seed in range(200)]
    covered = np.mean([f.low < truth < f.high for f in found])
    # Binomial: 0.95 ± 3 x 0.015.
    assert 0.905 < covered < 0.995


def test_improvement_is_the_ratio_of_the_errors():
    ratio = improvement(make_errors(0.1), make_errors(0.2, seed=1))
    # The mean of 420 components of each is known to about 4%.
    assert ratio.value == pytest.approx(2.0, rel=0.15)
    assert 1 < ratio.low < ratio.value < ratio.high


def test_a_model_compared_with_itself_improves_by_exactly_one():
    ratio = improvement(make_errors(0.1), make_errors(0.1))
    assert (ratio.low, ratio.value, ratio.high) == (1.0, 1.0, 1.0)


def test_improvement_refuses_models_measured_on_different_frames():
    with pytest.raises(ValueError, match="same frames"):
        improvement(make_errors(0.1, frames=3), make_errors(0.1, frames=4))


def test_no_frames_or_frames_that_do_not_fit_are_refused():
    none = {"reference_energies": [], "predicted_energies": [], "reference_forces": [], "predicted_forces": []}
    with pytest.raises(ValueError, match="no frames"):
        measure_errors([], **none)
    with pytest.raises(ValueError, match="shape"):
        measure_errors(
            ["a"],
            reference_energies=[0.0],
            predicted_energies=[0.0],
            reference_forces=[np.zeros((2, 3))],
            predicted_forces=[np.zeros((3, 3))],
        )


def test_force_errors_are_those_of_the_frames_that_have_forces():
    predicted = [np.full((3, 3), 0.1), np.full((2, 3), 0.5), np.full((1, 3), 0.3)]
    errors = measure_errors(
        ["a", "b", "c"],
        reference_energies=[0.0, 0.0, 0.0],
        predicted_energies=[0.3, -0.4, 0.1],
        reference_forces=[np.zeros((3, 3)), None, np.zeros((1, 3))],
        predicted_forces=predicted,
    )
    # 9 components of 0.1 and 3 of 0.3; energies of all three frames: 0.1, 0.2 and 0.1 eV/atom.
    assert errors.force_mae.value == pytest.approx((9 * 0.1 + 3 * 0.3) / 12)
    assert errors.force_worst == pytest.approx(0.3)
    assert errors.energy_mae.value == pytest.approx(0.4 / 3)
    assert np.isfinite([errors.force_mae.low, errors.force_mae.high]).all()


def energies_alone(noise: float, seed: int) -> Errors:
    """Errors of Gaussian noise (eV) on 400 frames of two atoms whose labels have no forces."""
    rng = np.random.default_rng(seed)
    return measure_errors(
        [str(i) for i in range(400)],
        reference_energies=np.zeros(400),
        predicted_energies=noise * rng.normal(size=400),
        reference_forces=[None] * 400,
        predicted_forces=[np.zeros((2, 3))] * 400,
    )


def test_without_forces_nothing_is_said_about_them_and_improvement_is_that_of_energies():
    errors, worse = energies_alone(0.1, 0), energies_alone(0.3, 1)
    assert (errors.force_mae, errors.force_rmse, errors.force_worst) == (None, None, None)
    ratio = improvement(errors, worse)
    # Each mean of 400 is known to 4%.
    assert ratio.value == pytest.approx(3.0, rel=0.15)
    assert ratio.low < ratio.value < ratio.high
