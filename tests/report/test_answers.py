"""The first screen: what it says must follow the numbers, whatever these are."""

from dataclasses import replace

import pytest

from asteroid.report.answers import answer
from asteroid.report.cost import Cost, Quoted, collect_costs, read_quote
from asteroid.report.groups import group_lines
from asteroid.report.verdict import worth_sentence
from asteroid.settings import ThresholdSettings
from asteroid.store import paths, records
from asteroid.store.account import charge
from asteroid.store.quote_records import KeptQuote, Line
from asteroid.store.records import AnalyticHessian
from asteroid.store.round_records import RoundCost
from asteroid.usage import Usage
from asteroid.validation.certificate import Certificate
from asteroid.validation.intervals import Estimate
from asteroid.validation.line import remake_line
from asteroid.validation.worth import CurvePoint, LearningCurve, Worth
from tests.report.test_rounds import make_rounds
from tests.validation.certificates import make_card, make_certificate, make_scratch_card

COSTS = [
    Cost("cheap labels", 100.0, "cheap labels"),
    Cost("accurate labels for training", 5000.0, "accurate labels"),
    Cost("accurate labels for validation", 2100.0, "accurate labels", validates=True),
    Cost("training", 2800.0, "training"),
]


def quoted(most: float, least: float) -> Quoted:
    return Quoted("2026-01-01T00:00:00+00:00", {"accurate labels": most}, {"accurate labels": least})


def line(stage: str, left: float, *, least: float, spent: float = 0.0) -> Line:
    return Line("water", stage, "", 1, "", left, least, spent_core_seconds=spent)


@pytest.mark.parametrize(
    ("most", "least", "verdict"),
    [
        (7200.0, 7200.0, "as estimated."),
        (9000.0, 6000.0, "as estimated."),
        (3550.0, 3550.0, "2.0 times the estimate."),
        (20000.0, 14200.0, "50% less than estimated."),
    ],
)
def test_the_cost_is_held_against_the_quote_of_the_same_stages(most, least, verdict):
    # 7100 core-seconds of accurate labels, of 10,000 in all.
    found = answer(make_certificate(), make_card(), COSTS, quoted=quoted(most, least)).cost
    assert found.figure == "2.78 core-hours"
    assert found.sentences[-1].endswith(verdict)
    assert found.sentences[0] == "21% were for validation and comparison."


def test_a_quote_counts_what_had_been_spent_and_only_what_has_an_account():
    lines = (
        line("sampling", 50, least=50),
        line("accurate labels", 100, least=100, spent=40),
        line("minimum", 30, least=10),
        line("training", 200, least=120),
    )
    found = read_quote(KeptQuote("2026-01-01T00:00:00+00:00", 2, lines), COSTS)
    assert found.most == {"accurate labels": 170, "training": 200}
    assert found.least == {"accurate labels": 150, "training": 120}


def test_rounds_are_paid_for_by_their_own_account(store):
    first = replace(make_rounds()[0], core_seconds=RoundCost(7.0, 300.0, 20.0))
    rounds = [replace(first, models=("a",))] * 3
    records.write(store, "models/water/half/card.json", make_scratch_card(model_id="half", core_seconds=800.0))
    found = collect_costs(store, "water", make_card(), None, rounds=rounds, compared=["a", "half"])
    costs = {c.stage: c.core_seconds for c in found}
    assert costs["training in 3 rounds"] == 900.0
    assert costs["committees and exploration"] == 60.0
    # A round trained the other one.
    assert costs["training 1 model for comparison"] == 800.0
    assert "training" not in costs


def test_rounds_with_an_account_pay_for_every_exploration_and_their_committees(store):
    first = replace(make_rounds()[0], core_seconds=RoundCost(7.0, 300.0, 20.0))
    rounds = [replace(first, models=("half",), committee=()), replace(first, models=(), committee=("member",))]
    for name in ("half", "member"):
        card = make_scratch_card(model_id=name, core_seconds=5.0, gpu_seconds=2.0)
        records.write(store, f"models/water/{name}/card.json", card)
    # One of the processes was killed: no record of a round knows of it.
    for _ in range(2):
        with charge(store, "water", "exploration", own=False) as entry:
            entry.add(Usage(cpu=30.0, gpu=7.0))
    costs = {c.stage: c for c in collect_costs(store, "water", make_card(), None, rounds=rounds)}
    exploration = costs["committees and exploration"]
    assert (exploration.core_seconds, exploration.gpu_seconds) == (65.0, 16.0)
    assert costs["training in 2 rounds"].gpu_seconds == 2.0


def test_every_model_that_was_compared_with_is_paid_for_once(store):
    records.write(store, "models/water/half/card.json", make_scratch_card(model_id="half", core_seconds=800.0))
    card = make_card(strategy="unweighted", parents={})
    scratch = make_scratch_card()
    found = collect_costs(store, "water", card, scratch, compared=["half", scratch.model_id])
    assert found[-1] == Cost("training 2 models for comparison", 8000.0, "training", validates=True)


def test_an_analytic_hessian_is_a_cost_of_judging(store):
    card = make_card()
    for name, seconds in (("a", 3.0), ("b", 4.5)):
        path = f"{paths.analytic_hessians('water', card.accurate)}/{name}.json"
        records.write(store, path, AnalyticHessian(None, seconds, "no convergence"))
    found = collect_costs(store, "water", card, None)
    assert Cost("analytic second derivatives", 7.5, "accurate labels", validates=True) in found


def curve(**changes) -> LearningCurve:
    worth = Worth(labels=71.3, low=40.0, high=160.0, exponent=0.5, measured=False)
    points = (
        CurvePoint(5, "a", None, Estimate(0.02, 0.01, 0.03)),
        CurvePoint(10, "b", None, Estimate(0.01, 0.0, 0.02)),
    )
    return LearningCurve(points, replace(worth, **changes))


def test_the_worth_of_the_cheap_labels_is_said_with_its_interval_and_where_it_comes_from():
    sentence = worth_sentence(make_card(), curve(), 36.0)
    assert sentence.startswith(
        "Without the cheap labels, the same error would take about 71 accurate labels, 7.1 times"
    )
    assert "as many (95% interval 40 to 160; power law through models with 5 and 10 labels)" in sentence
    # 61.3 labels of 36 s.
    assert sentence.endswith("The additional labels would cost about 0.61 core-hours.")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"high": None}, "95% interval at least 40"),
        ({"low": None, "high": None}, "no interval"),
        ({"labels": None, "low": None, "high": None}, "too far from the measured models with 5 and 10 labels"),
        ({"measured": True}, "interpolated between models with 5 and 10 labels"),
    ],
)
def test_an_end_that_is_out_of_reach_is_not_made_up(changes, said):
    assert said in worth_sentence(make_card(), curve(**changes), None)


def test_fewer_labels_for_the_same_error_are_no_saving():
    sentence = worth_sentence(make_card(), curve(labels=6.0, low=4.0, high=8.0), 36.0)
    assert "0.6 times as many" in sentence
    assert "would cost" not in sentence


def test_without_a_comparison_nothing_was_bought():
    found = answer(make_certificate(with_scratch=False), make_card(), COSTS).bought
    assert found.figure == ""
    assert "is unknown" in found.sentences[0]


def test_a_group_is_decided_by_the_line_that_is_farthest_beyond_its_threshold():
    found = {g.name: g for g in group_lines(make_certificate(loose=False))}
    assert found["Held-out frames"].state == "failed"
    assert found["Held-out frames"].worst.name == "Force MAE"
    assert found["Held-out frames"].closeness > 1
    assert found["Minimum"].state == "passed"
    assert found["Model's own MD"].state == "not checked"


def test_a_failed_line_decides_its_group_however_near_the_others_are():
    lines = make_certificate(thresholds=ThresholdSettings(force_mae=5.0, energy_mae=1e-9))
    held_out = next(g for g in group_lines(lines) if g.name == "Held-out frames")
    assert (held_out.worst.name, held_out.state) == ("Energy MAE", "failed")


def test_the_error_on_its_own_dynamics_is_said_where_there_is_one():
    certificate = make_certificate()

    def found(value: float | None) -> Certificate:
        lines = (remake_line(e, value=value, checked=True) if "own MD" in e.name else e for e in certificate.lines)
        return replace(certificate, lines=tuple(lines))

    sentences = answer(found(0.0123), make_card(), COSTS).good.sentences
    assert any("the force error is 12.3 meV/Å (limit 50 meV/Å)" in said for said in sentences)
    assert (
        answer(found(None), make_card(), COSTS)
        .good.sentences[1]
        .startswith("In the model's own MD, the force error is unknown")
    )


def test_costs_are_told_in_core_hours_however_small():
    short = [replace(cost, core_seconds=cost.core_seconds / 100) for cost in COSTS]
    found = answer(make_certificate(), make_card(), short)
    assert found.cost.figure == "0.0278 core-hours"
    assert found.core_seconds == pytest.approx(100)
