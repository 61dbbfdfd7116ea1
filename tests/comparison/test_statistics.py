import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asteroid.comparison.statistics import Worth, labels_of_scratch, mean_over_seeds, paired_ratio

errors = st.floats(1e-4, 10.0)


@given(st.lists(errors, min_size=2, max_size=8, unique=True))
def test_the_interval_of_a_mean_is_that_of_student(values: list[float]) -> None:
    found = mean_over_seeds(values)
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.standard_error == pytest.approx(stats.sem(values))


def test_a_single_seed_has_no_interval() -> None:
    found = mean_over_seeds([0.3])
    assert (found.mean, found.standard_error, found.low, found.high) == (0.3, None, None, None)


@given(st.lists(st.tuples(errors, errors), min_size=2, max_size=8, unique=True))
def test_a_paired_ratio_is_the_paired_t_test_of_logarithms(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = ({seed: pair[k] for seed, pair in enumerate(pairs)} for k in (0, 1))
    logs = np.log(list(ours.values())), np.log(list(theirs.values()))
    # Without any spread the test is not defined.
    if np.ptp(logs[0] - logs[1]) < 1e-6:
        return
    found = paired_ratio(ours, theirs, {})
    assert found is not None
    reference = stats.ttest_rel(*logs)
    interval = reference.confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    assert (math.log(found.low), math.log(found.high)) == pytest.approx((interval.low, interval.high), rel=1e-6)
    assert (found.seeds, found.over) == (len(pairs), "seeds")


def test_what_a_lucky_draw_gives_to_both_variants_cancels() -> None:
    luck = {0: 0.1, 1: 1.0, 2: 10.0}
    found = paired_ratio({s: 0.5 * x * (1 + 0.01 * s) for s, x in luck.items()}, luck, {})
    assert found is not None
    assert 0.49 < found.low < 0.505 < found.high < 0.52


def test_only_seeds_that_both_variants_have_are_compared() -> None:
    assert paired_ratio({0: 1.0}, {1: 1.0}, {}) is None
    found = paired_ratio({0: 1.0, 1: 2.0, 2: 9.0}, {0: 2.0, 1: 4.0, 3: 1.0}, {})
    assert found is not None
    assert (found.value, found.seeds) == (pytest.approx(0.5), 2)


def test_the_very_same_model_differs_by_nothing() -> None:
    same = {0: 0.2, 1: 0.3}
    found = paired_ratio(same, dict(same), {})
    assert found is not None
    assert (found.value, found.low, found.high, found.p) == (1.0, 1.0, 1.0, 1.0)


def test_with_one_seed_the_interval_is_over_groups_of_test_frames() -> None:
    rng = np.random.default_rng(1)
    theirs = tuple((float(x), 10) for x in rng.uniform(1, 2, size=40))
    factors = rng.normal(0.5, 0.1, size=40)
    ours = tuple((float(f * x), 10) for f, (x, _) in zip(factors, theirs, strict=True))
    value = sum(x for x, _ in ours) / sum(x for x, _ in theirs)
    found = paired_ratio({7: value}, {7: 1.0}, {7: (ours, theirs)})
    assert found is not None
    assert (found.over, found.seeds, found.p) == ("test groups", 1, None)
    # The standard error of the mean of 40 factors; the weights that they have in the sums change it by a few per cent.
    half = 1.96 * factors.std() / math.sqrt(40)
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.2)


@given(
    exponent=st.floats(0.2, 2.0),
    factor=st.floats(0.3, 1.0),
    n=st.sampled_from([25, 50, 100]),
)
def test_on_a_power_law_the_worth_of_labels_is_exact(exponent: float, factor: float, n: int) -> None:
    curve = {count: 3.0 * count**-exponent for count in (25, 50, 100, 400)}
    expected = n * factor ** (-1 / exponent)
    found = labels_of_scratch(factor * curve[n], curve)
    assert found is not None
    if expected > 400 * (1 + 1e-9):
        assert found == Worth(400.0, "at least")
    else:
        assert found.labels == pytest.approx(expected)


def test_nothing_is_extrapolated() -> None:
    curve = {25: 4.0, 100: 1.0}
    assert labels_of_scratch(5.0, curve) == Worth(25.0, "at most")
    assert labels_of_scratch(0.5, curve) == Worth(100.0, "at least")
    assert labels_of_scratch(2.0, curve) == Worth(pytest.approx(50.0), "exact")
    assert labels_of_scratch(1.0, {50: 1.0}) is None, "one point is no curve"


def test_more_labels_are_never_taken_to_be_worse() -> None:
    curve = {25: 2.0, 50: 3.0, 100: 1.0}
    assert labels_of_scratch(2.0, curve) == Worth(25.0, "exact")
    found = labels_of_scratch(1.5, curve)
    assert found is not None
    assert 50 < found.labels < 100
