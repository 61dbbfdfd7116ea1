import numpy as np
import pytest

from asteroid.validation.survival import kaplan_meier

EVENTS = [6, 6, 6, 7, 10, 13, 16, 22, 23]
LOST = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
"""Weeks of remission under 6-mercaptopurine: Freireich et al., Blood 21, 699 (1963)."""


def leukaemia():
    return kaplan_meier([*EVENTS, *LOST], [True] * len(EVENTS) + [False] * len(LOST))


def test_the_estimate_is_the_published_one_of_the_leukaemia_trial():
    survival = leukaemia()
    assert survival.times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert survival.at_risk.tolist() == [21, 17, 15, 12, 11, 7, 6]
    published = [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482]
    np.testing.assert_allclose(survival.surviving, published, atol=5e-5)


def test_its_interval_is_the_published_one_of_the_leukaemia_trial():
    survival = leukaemia()
    # As Stata and R print them, on the log(−log) scale.
    np.testing.assert_allclose(survival.low, [0.6197, 0.5631, 0.5032, 0.4316, 0.3675, 0.2678, 0.1881], atol=5e-5)
    np.testing.assert_allclose(survival.high, [0.9516, 0.9228, 0.8894, 0.8491, 0.8049, 0.7468, 0.6801], atol=5e-5)
    assert survival.at_end == (survival.surviving[-1], survival.low[-1], survival.high[-1])


def test_without_losses_it_is_the_part_that_is_left():
    survival = kaplan_meier([1, 2, 3, 4, 4], [True, True, True, False, False])
    np.testing.assert_allclose(survival.surviving, [0.8, 0.6, 0.4])


@pytest.mark.parametrize("count", [1, 8, 100])
def test_none_that_failed_still_leaves_room_for_failures(count):
    value, low, high = kaplan_meier([2.0] * count, [False] * count).at_end
    assert (value, high) == (1.0, 1.0)
    # With this part surviving, seeing no failure would have a probability of exactly 5 %.
    assert low**count == pytest.approx(0.05)


def test_the_rule_of_three_holds_for_many_replicas():
    assert kaplan_meier([1.0] * 300, [False] * 300).at_end[1] == pytest.approx(1 - 3 / 300, abs=2e-4)


def test_where_all_failed_the_upper_end_is_the_exact_bound():
    value, low, high = kaplan_meier([0.1] * 8, [True] * 8).at_end
    assert (value, low) == (0.0, 0.0)
    assert (1 - high) ** 8 == pytest.approx(0.05)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1000):
        # Survival past 1 is exp(−1/2); who is still there at 1 is lost.
        times = rng.exponential(2.0, 20)
        _, low, high = kaplan_meier(np.minimum(times, 1.0), times < 1.0).at_end
        covered.append(low <= np.exp(-0.5) <= high)
    # One standard error is 0.7 %; the interval is approximate for 20 replicas.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


def test_times_without_outcomes_are_refused():
    with pytest.raises(ValueError, match="2 times and 1 outcomes"):
        kaplan_meier([1.0, 2.0], [True])
