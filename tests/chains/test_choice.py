"""Which chain a budget is best spent on, against all that could be bought."""

import itertools
import math

import pytest

from asteroid.acquisition.stopping import LearningCurve
from asteroid.chains.choice import best_counts, chains, choose

CURVES = {
    ("cheap", "accurate"): LearningCurve(0.15, 0.4),
    ("cheap", "middle"): LearningCurve(0.15, 0.5),
    ("middle", "accurate"): LearningCurve(0.02, 0.5),
}
PRICES = {"middle": 1.0, "accurate": 9.0}
MOST = {"middle": 400, "accurate": 60}


def promised(budget: float, **changes: object) -> list:
    given = {"least": 5, "most": MOST, "pilot": {"middle": 0.0}} | changes
    return chains("cheap", "accurate", ["middle"], CURVES, PRICES, budget, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [100.0, 300.0, 540.0])
def test_no_other_numbers_of_labels_that_cost_as_much_promise_less_error(budget: float) -> None:
    curves = [CURVES["cheap", "middle"], CURVES["middle", "accurate"]]
    found = best_counts(curves, [1.0, 9.0], budget, least=[5, 5], most=[400, 60])
    assert found is not None

    def error(labels: tuple[int, int]) -> float:
        return math.hypot(*(curve.error(n) for curve, n in zip(curves, labels, strict=True)))

    possible = [(n, m) for n, m in itertools.product(range(5, 401), range(5, 61)) if m <= n and n + 9 * m <= budget]
    assert found in possible
    # Whole numbers: the continuous optimum is rounded down.
    assert error(found) <= 1.02 * min(map(error, possible))


def test_a_level_in_between_is_chosen_where_it_pays_and_not_where_it_does_not() -> None:
    best = choose(promised(540.0))
    assert best.levels == ("middle", "accurate")
    assert best.core_seconds <= 540.0
    assert best.labels[0] >= best.labels[1] >= 5
    alone = next(chain for chain in promised(540.0) if chain.levels == ("accurate",))
    assert alone.labels == (60,)
    assert best.error < alone.error
    useless = {**CURVES, ("middle", "accurate"): LearningCurve(0.15, 0.4)}
    found = chains("cheap", "accurate", ["middle"], useless, PRICES, 540.0, least=5, most=MOST, pilot={"middle": 0.0})
    assert choose(found).levels == ("accurate",)


def test_labels_of_the_pilot_that_a_chain_does_not_use_are_paid_from_the_budget() -> None:
    alone = next(c for c in promised(540.0, pilot={"middle": 90.0}) if c.levels == ("accurate",))
    assert alone.labels == (50,)
    assert alone.core_seconds == pytest.approx(540.0)
    with_it = next(c for c in promised(540.0, pilot={"middle": 90.0}) if c.levels == ("middle", "accurate"))
    assert with_it == next(c for c in promised(540.0) if c.levels == ("middle", "accurate"))


def test_what_cannot_be_paid_is_no_chain_and_of_two_alike_the_shorter_is_chosen() -> None:
    assert promised(40.0) == []
    assert [chain.levels for chain in promised(47.0)] == [("accurate",)]
    hardly = CURVES | {("middle", "accurate"): LearningCurve(0.14, 0.4), ("cheap", "middle"): LearningCurve(1e-3, 0.5)}
    found = chains("cheap", "accurate", ["middle"], hardly, PRICES, 540.0, least=5, most=MOST, pilot={"middle": 0.0})
    assert [chain.levels for chain in found] == [("middle", "accurate"), ("accurate",)]
    assert choose(found).levels == ("accurate",)


def test_labels_that_are_part_of_accurate_ones_are_paid_once() -> None:
    best = next(c for c in promised(540.0, parts=["middle"]) if c.levels == ("middle", "accurate"))
    middle, accurate = best.labels
    assert best.core_seconds == pytest.approx(middle * PRICES["middle"] + accurate * (9.0 - PRICES["middle"]))
    assert best.core_seconds <= 540.0
    apart = next(c for c in promised(540.0) if c.levels == ("middle", "accurate"))
    assert best.error < apart.error


def test_a_level_all_of_whose_parts_are_in_the_chain_costs_nothing_more() -> None:
    prices = {"middle": 4.0, "accurate": 4.0}
    found = chains(
        "cheap", "accurate", ["middle"], CURVES, prices, 400.0, least=5, most=MOST, pilot={}, parts=["middle"]
    )
    best = next(chain for chain in found if chain.levels == ("middle", "accurate"))
    assert best.labels[1] == MOST["accurate"]
    assert best.core_seconds <= 400.0
