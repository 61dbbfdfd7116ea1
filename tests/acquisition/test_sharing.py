"""How the labels of a round are shared among the molecules of one model."""

import numpy as np
import pytest

from asteroid.acquisition.sharing import EXPONENT, falling, share

PLENTY = {"a": 1000, "b": 1000}


def mean_error(molecules: dict[str, tuple[int, float]], bought: dict[str, int], exponent: float) -> float:
    return sum(error * (n / (n + bought[name])) ** exponent for name, (n, error) in molecules.items())


@pytest.mark.parametrize("seed", range(5))
def test_no_other_shares_of_the_same_cost_lower_the_mean_error_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    molecules = {name: (int(rng.integers(5, 40)), float(rng.uniform(0.005, 0.05))) for name in "ab"}
    found = share(molecules, price={"a": 2.0, "b": 2.0}, left=PLENTY, wanted=30)
    others = [{"a": count, "b": 30 - count} for count in range(31)]
    assert sum(found.values()) == 30
    least = min(mean_error(molecules, other, EXPONENT) for other in others)
    assert mean_error(molecules, found, EXPONENT) == pytest.approx(least, rel=1e-12)


def test_the_cheaper_molecule_and_the_one_with_the_larger_error_get_more() -> None:
    alike = {"a": (20, 0.02), "b": (20, 0.02)}
    even = share(alike, price={"a": 1.0, "b": 1.0}, left=PLENTY, wanted=20)
    assert even == {"a": 10, "b": 10}
    cheap = share(alike, price={"a": 1.0, "b": 2.0}, left=PLENTY, wanted=20)
    assert cheap["a"] > 10
    worse = share({"a": (20, 0.02), "b": (20, 0.04)}, price={"a": 1.0, "b": 1.0}, left=PLENTY, wanted=20)
    assert worse["b"] > 10


def test_budgets_in_labels_and_in_core_seconds_are_kept() -> None:
    alike = {"a": (20, 0.02), "b": (20, 0.02)}
    price = {"a": 1.0, "b": 3.0}
    assert share(alike, price=price, left={"a": 2, "b": 3}, wanted=20) == {"a": 2, "b": 3}
    found = share(alike, price=price, left=PLENTY, wanted=100, money=20.0)
    assert 17 < found["a"] + 3 * found["b"] <= 20
    assert share(alike, price=price, left={"a": 0, "b": 9}, wanted=5, money=1.0) == {"a": 0, "b": 1}, "at least one"
    assert share(alike, price=price, left={"a": 0, "b": 0}, wanted=5) == {"a": 0, "b": 0}


def test_the_exponent_is_that_of_the_rounds_once_there_are_enough() -> None:
    assert falling([(10, 0.1)]) == EXPONENT
    assert falling([(10, 0.1), (20, 0.05)]) == EXPONENT
    assert falling([(10, 0.1), (20, 0.05), (40, 0.025)]) == pytest.approx(1.0)
    assert falling([(10, 0.1), (20, 0.1), (40, 0.2)]) == EXPONENT, "an error that does not fall says nothing"
