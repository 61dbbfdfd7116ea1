import numpy as np
import pytest

from asteroid.validation.errors import measure_errors
from asteroid.validation.worth import labels_needed


def errors_of(mae: float, *, frames: int = 30, spread: float = 0.0, seed: int = 0):
    """Errors of the same size in every frame, or spread over frames about the size given (eV/Å)."""
    sizes = mae * np.exp(spread * np.random.default_rng(seed).normal(size=frames))
    zeros = [np.zeros((3, 3))] * frames
    return measure_errors(
        [f"frame-{i}" for i in range(frames)],
        reference_energies=np.zeros(frames),
        predicted_energies=np.zeros(frames),
        reference_forces=zeros,
        predicted_forces=[np.full((3, 3), size) for size in sizes],
    )


def test_labels_are_those_of_an_exact_power_law():
    # error = 0.4 · labels^(−1/2): 0.08 with 25, 0.04 with 100, and so 0.02 with 400.
    scratch = {25: errors_of(0.08), 100: errors_of(0.04)}
    worth = labels_needed(errors_of(0.02), scratch)
    assert worth.labels == pytest.approx(400)
    assert (worth.low, worth.high) == pytest.approx((400, 400))
    assert worth.exponent == pytest.approx(0.5)
    assert not worth.measured
    assert labels_needed(errors_of(0.06), scratch).measured


def test_a_model_that_harmed_is_worth_fewer_labels_than_it_had():
    worth = labels_needed(errors_of(0.16), {25: errors_of(0.08), 100: errors_of(0.04)})
    assert worth.labels == pytest.approx(6.25)


def test_nothing_is_said_where_more_labels_do_not_help():
    worth = labels_needed(errors_of(0.02), {25: errors_of(0.04), 50: errors_of(0.05)})
    assert (worth.labels, worth.high) == (None, None)
    assert worth.exponent < 0


def test_a_number_far_beyond_the_curve_is_not_named():
    # 0.08 → 0.079 for twice the labels: half the error would need more than 10^12.
    assert labels_needed(errors_of(0.04), {25: errors_of(0.08), 50: errors_of(0.079)}).labels is None


def test_one_point_is_no_curve():
    assert labels_needed(errors_of(0.02), {50: errors_of(0.04)}) is None


def test_the_interval_holds_the_estimate_and_is_wider_for_fewer_frames():
    def width(frames: int) -> float:
        made = [errors_of(mae, frames=frames, spread=0.2, seed=seed) for seed, mae in enumerate((0.02, 0.08, 0.04))]
        worth = labels_needed(made[0], {25: made[1], 100: made[2]})
        assert worth.low < worth.labels < worth.high
        return worth.high / worth.low

    assert width(12) > width(200) > 1


def test_models_measured_on_other_frames_are_refused():
    with pytest.raises(ValueError, match="same frames"):
        labels_needed(errors_of(0.02), {25: errors_of(0.08, frames=12), 50: errors_of(0.04)})
