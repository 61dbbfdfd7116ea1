"""Bounds against scipy, published tables and simulation: sound for few frames, too."""

import numpy as np
import pytest
from scipy import stats

from asteroid.validation.intervals import (
    ERROR,
    MOST,
    confidence_of_look,
    estimate_mean,
    estimate_ratio,
    frames_needed,
    proportion_bounds,
    trials_needed,
)


def test_bounds_of_a_mean_are_those_of_student_on_a_logarithmic_scale():
    values = np.array([0.8, 1.1, 0.9, 1.4, 1.0])
    found = estimate_mean(values, np.ones(5))
    half = stats.t.ppf(0.975, 4) * stats.sem(values) / values.mean()
    assert (found.low, found.high) == pytest.approx((values.mean() * np.exp(-half), values.mean() * np.exp(half)))
    assert found.bounds(0.975) == pytest.approx((found.low, found.high))
    assert found.bounds(0.95)[1] < found.high < found.bounds(0.9875)[1]


@pytest.mark.parametrize("frames", [5, 6, 16])
@pytest.mark.parametrize(
    "draw", [lambda r, shape: r.gamma(4, 0.25, shape), lambda r, shape: np.abs(r.normal(0, np.pi**0.5 / 2**0.5, shape))]
)
def test_a_first_look_lets_a_mean_that_is_above_the_threshold_pass_in_5_percent_at_most(frames, draw):
    # Errors of frames as they are: positive, skewed, mean 1. A percentile bootstrap of 5 of them is wrong in 13 %.
    random = np.random.default_rng(0)
    trials = 1500
    ends = [
        estimate_mean(row, np.ones(frames)).bounds(confidence_of_look(1))[1] for row in draw(random, (trials, frames))
    ]
    missed = np.mean(np.array(ends) < 1)
    assert missed < ERROR + 3 * (ERROR * (1 - ERROR) / trials) ** 0.5


def test_frames_of_few_trajectories_count_as_few():
    random = np.random.default_rng(1)
    trials, groups, each = 400, 5, 4
    names = np.repeat(list("abcde"), each)
    covered = {"frames": 0, "groups": 0}
    for _ in range(trials):
        # Two thirds of the scatter are common to the frames of a trajectory.
        logs = np.repeat(random.normal(0, 0.3, groups), each) + random.normal(0, 0.2, groups * each)
        values, truth = np.exp(logs), np.exp((0.3**2 + 0.2**2) / 2)
        covered["frames"] += estimate_mean(values, np.ones(20)).high > truth
        covered["groups"] += estimate_mean(values, np.ones(20), list(names)).high > truth
    assert covered["frames"] < 0.9 * trials, "as if all were independent"
    assert covered["groups"] > 0.94 * trials


def test_groups_that_do_not_differ_leave_the_interval_over_frames():
    values = [0.8, 1.2] * 6
    alone = estimate_mean(values, np.ones(12))
    assert estimate_mean(values, np.ones(12), [str(i // 2) for i in range(12)]) == alone


def test_a_single_frame_or_trajectory_has_no_interval():
    for found in (estimate_mean([0.1], [1]), estimate_mean([0.1, 0.2], [1, 1], ["a", "a"])):
        assert (found.low, found.high) == (0.0, np.inf)
        assert frames_needed(found, 1, 1.0, 0.975) is None


def test_the_ratio_of_paired_errors_is_narrower_than_its_parts():
    random = np.random.default_rng(2)
    hardness = random.gamma(4, 0.25, 12)
    ours, theirs = hardness * random.uniform(0.95, 1.05, 12), 2 * hardness * random.uniform(0.95, 1.05, 12)
    ratio, part = estimate_ratio(theirs, ours), estimate_mean(ours, np.ones(12))
    assert ratio.low < 2 < ratio.high
    assert ratio.spread < part.spread / 3


def test_bounds_of_a_part_are_those_of_clopper_and_pearson():
    for successes, trials in ((0, 8), (5, 8), (29, 30), (30, 30)):
        low, high = proportion_bounds(successes, trials, 0.975)
        published = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
        # At the ends scipy gives the whole 5 % to the side that is open, as we do on both.
        assert (
            low == pytest.approx(published.low) if successes < trials else low == pytest.approx(0.025 ** (1 / trials))
        )
        assert high == pytest.approx(published.high) if successes else high == pytest.approx(1 - 0.025 ** (1 / trials))


@pytest.mark.parametrize(("part", "failures", "trials"), [(0.9, 0, 29), (0.95, 0, 59), (0.9, 1, 46), (0.9, 2, 61)])
def test_trials_needed_are_those_of_the_tables_for_reliability_demonstration(part, failures, trials):
    assert trials_needed(failures, part, 0.95) == trials


def test_looking_again_never_adds_up_to_more_than_the_error_of_one_look():
    assert sum(1 - confidence_of_look(look) for look in range(1, 60)) == pytest.approx(ERROR)
    random = np.random.default_rng(3)
    trials, passed = 400, 0
    for _ in range(trials):
        # Four models, all of which miss the threshold by nothing, tested on the same twelve frames.
        hardness = random.gamma(4, 0.25, 12)
        models = hardness * random.gamma(16, 1 / 16, (4, 12))
        looks = enumerate(models, start=1)
        passed += any(estimate_mean(m, np.ones(12)).bounds(confidence_of_look(look))[1] < 1 for look, m in looks)
    assert passed / trials < ERROR + 3 * (ERROR * (1 - ERROR) / trials) ** 0.5


def test_as_many_frames_as_are_named_would_do():
    random = np.random.default_rng(4)
    found = estimate_mean(random.gamma(4, 0.25, 6), np.ones(6))
    threshold = 1.1 * found.value
    wanted = frames_needed(found, 6, threshold, 0.975)
    half = stats.t.ppf(0.975, wanted - 1) * found.spread * (6 / wanted) ** 0.5
    # Counted in steps of 2 %.
    assert np.log(1.1) * 0.95 < half <= np.log(1.1)
    assert frames_needed(found, 6, 0.9 * found.value, 0.975) is None
    assert frames_needed(found, 6, (1 + 1e-6) * found.value, 0.975) is None
    assert wanted < MOST * 6
