import numpy as np
import pytest

from asteroid.acquisition.stopping import RoundSummary, decide, expected_gain, fit_curve, mean_interval
from asteroid.settings import AcquisitionSettings

SETTINGS = AcquisitionSettings(batch=10, rounds=50, core_hours=None, target=None, least_gain=0.05)


def rounds(
    count: int, *, exponent: float = 1.0, core_seconds: float = 360.0, spread: float = 0.1
) -> list[RoundSummary]:
    """Rounds of ten labels each, on an exact power law through 0.1 eV/Å at 20 labels."""
    found = []
    for index in range(count):
        labels = 20 + 10 * index
        mae = 0.1 * (labels / 20) ** -exponent
        low, high = mae * (1 - spread), mae * (1 + spread)
        found.append(RoundSummary(labels=labels, force_mae=mae, low=low, high=high, core_seconds=core_seconds))
    return found


def test_a_power_law_is_recovered_and_extrapolated() -> None:
    labels = np.array([20, 30, 50, 90])
    curve = fit_curve(labels.tolist(), (0.7 * labels**-0.8).tolist())
    assert [curve.factor, curve.exponent] == pytest.approx([0.7, 0.8])
    assert curve.gain(100, 100) == pytest.approx(1 - 2**-0.8)


def test_errors_that_rise_promise_no_gain_and_no_loss() -> None:
    curve = fit_curve([10, 20, 30], [0.1, 0.12, 0.13])
    assert curve.exponent == 0
    assert curve.gain(30, 100) == 0


def test_a_curve_needs_two_points() -> None:
    with pytest.raises(ValueError, match="two different numbers of labels"):
        fit_curve([10, 10], [0.1, 0.2])


def test_the_gain_is_that_of_the_labels_a_core_hour_buys() -> None:
    # 360 s for ten labels: an hour buys a hundred more than the 50 that are there.
    assert expected_gain(rounds(4), batch=10) == pytest.approx(1 - 50 / 150)


def test_of_rounds_longer_than_a_core_hour_the_next_one_counts() -> None:
    assert expected_gain(rounds(4, core_seconds=100 * 3600), batch=10) == pytest.approx(1 - 50 / 60)


def test_two_rounds_do_not_make_a_learning_curve() -> None:
    assert expected_gain(rounds(2), batch=10) is None
    decision = decide(rounds(2, exponent=0.0), SETTINGS)
    assert not decision.stop
    assert decision.reason == "the error is 100 meV/Å; 2 rounds do not yet tell what more labels gain"


def test_it_stops_when_the_target_is_met_with_confidence_and_not_when_the_mean_alone_meets_it() -> None:
    settings = SETTINGS.model_copy(update={"target": 0.05})
    # 40 labels: 50 meV/Å, at most 55; 50 labels: 40, at most 44.
    assert not decide(rounds(3), settings).stop
    decision = decide(rounds(4), settings)
    assert decision.stop
    assert decision.reason == (
        "the target is met: the held-out force error is 40 meV/Å, with 95 % confidence at most 44 of the 50 meV/Å "
        "that were asked for"
    )


def test_it_stops_when_the_accurate_labels_are_spent_and_not_before() -> None:
    assert not decide(rounds(4), SETTINGS).stop
    decision = decide(rounds(4), SETTINGS, spent_labels="50 accurate labels")
    assert (decision.stop, decision.reason) == (True, "the budget of 50 accurate labels is spent, at 40 meV/Å")


def test_it_stops_when_the_core_hours_of_all_rounds_are_spent_and_not_before() -> None:
    settings = SETTINGS.model_copy(update={"core_hours": 0.4})
    assert not decide(rounds(3), settings).stop
    decision = decide(rounds(4), settings)
    assert (decision.stop, decision.reason) == (True, "the budget of 0.4 core-hours is spent (0.4), at 40 meV/Å")


def test_it_stops_after_the_last_round_and_not_before() -> None:
    settings = SETTINGS.model_copy(update={"rounds": 4})
    assert not decide(rounds(3), settings).stop
    assert decide(rounds(4), settings).reason == "all 4 rounds are done, at 40 meV/Å"


def test_it_stops_when_the_gain_is_too_small_and_not_before() -> None:
    # 1 − (160/60)^(−exponent) is 0.05 at an exponent of 0.0523.
    assert not decide(rounds(5, exponent=0.053), SETTINGS).stop
    decision = decide(rounds(5, exponent=0.05), SETTINGS)
    assert decision.stop
    assert decision.expected_gain == pytest.approx(1 - (160 / 60) ** -0.05)
    assert decision.reason == (
        "the next core-hour is expected to take 4.79 % off the error of 94.7 meV/Å, "
        "less than the 5 % that are asked for"
    )


def test_a_larger_budget_lets_it_go_on() -> None:
    spent = decide(rounds(4), SETTINGS.model_copy(update={"core_hours": 0.4}))
    more = decide(rounds(4), SETTINGS.model_copy(update={"core_hours": 4.0}))
    assert (spent.stop, more.stop) == (True, False)
    assert more.reason == "the next core-hour is expected to take 66.7 % off the error of 40 meV/Å"


def test_rounds_of_several_core_hours_are_spoken_of_as_rounds() -> None:
    assert decide(rounds(4, core_seconds=7200), SETTINGS).reason == (
        "the next round of 2 core-hours is expected to take 16.7 % off the error of 40 meV/Å"
    )


def test_nothing_is_decided_before_the_first_round() -> None:
    with pytest.raises(ValueError, match="needs a round"):
        decide([], SETTINGS)


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    found = [mean_interval(random.normal(1.0, 0.3, size=8)) for _ in range(4000)]
    # 4000 draws tell 0.95 to 0.01.
    assert np.mean([low <= 1.0 <= high for _, low, high in found]) == pytest.approx(0.95, abs=0.012)
    assert mean_interval([0.2]) == (0.2, 0.0, float("inf"))
