import numpy as np
import numpy.typing as npt
import pytest

from asteroid.acquisition.calibration import calibrate
from tests.marks import mostly_long

Floats = npt.NDArray[np.float64]


def heteroscedastic(count: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Uncertainties that are too small by an unknown factor, and errors spread about them."""
    uncertainty = random.lognormal(-4.0, 1.0, size=count)
    return uncertainty, 3.7 * uncertainty * random.gamma(4.0, 0.25, size=count)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
@pytest.mark.parametrize("held_out", mostly_long([10, 20, 80], quick=[10, 20]))
def test_the_bound_holds_for_the_wanted_part_of_new_frames(coverage: float, held_out: int) -> None:
    random = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        calibration = calibrate(*heteroscedastic(held_out, random), coverage=coverage)
        uncertainty, error = heteroscedastic(5, random)
        held.append(np.mean(error <= calibration.bound(uncertainty)))
    # Of a finite sample the coverage is between the wanted part and 1/(V + 1) more; 10000 frames tell it to 0.01.
    assert coverage - 0.015 < np.mean(held) < coverage + 1 / (held_out + 1) + 0.015


def test_left_out_coverage_is_what_new_frames_find() -> None:
    random = np.random.default_rng(1)
    achieved = [calibrate(*heteroscedastic(50, random)).achieved for _ in range(100)]
    # Ranks of 49 scores: ⌈50 × 0.9⌉ = 45 of 50 are at or below.
    assert np.mean([a for a in achieved if a is not None]) == pytest.approx(0.9, abs=0.01)


def test_too_few_held_out_frames_guarantee_less_than_was_asked_for() -> None:
    few = calibrate([0.1, 0.2, 0.1], [0.1, 0.1, 0.3], coverage=0.9)
    assert few.guaranteed == pytest.approx(3 / 4)
    assert few.bound([0.1])[0] == pytest.approx(0.3), "the worst frame that is known sets the scale"
    assert calibrate(np.full(30, 0.1), np.full(30, 0.1)).guaranteed == 0.9


def test_a_frame_on_which_the_committee_agrees_by_accident_does_not_set_the_scale() -> None:
    random = np.random.default_rng(2)
    uncertainty, error = heteroscedastic(30, random)
    scale = calibrate(uncertainty, error, coverage=1.0).scale
    uncertainty[0], error[0] = 0.0, float(np.median(error))
    assert calibrate(uncertainty, error, coverage=1.0).scale < 20 * scale


def test_a_calibration_is_plain_json_and_one_frame_has_no_left_out_coverage() -> None:
    one = calibrate([0.1], [0.2])
    assert one.achieved is None
    assert one.error == (0.2,)
    assert calibrate([0.0, 0.0], [0.1, 0.2]).bound([0.0]) == pytest.approx([0.2]), "members that agree entirely"


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="V ≥ 1"):
        calibrate([], [])
    with pytest.raises(ValueError, match="expected"):
        calibrate([0.1, 0.2], [0.1])
