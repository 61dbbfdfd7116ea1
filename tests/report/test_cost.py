"""What a report says that a model cost."""

from dataclasses import replace

import pytest

from asteroid.report.cost import collect_costs
from asteroid.store import records
from asteroid.store.account import charge
from asteroid.usage import Usage
from tests.report.pages import Page, write
from tests.validation.certificates import (
    make_card,
    make_scratch_card,
)


def test_costs_count_every_stage_once(store):
    costs = {c.stage: c.core_seconds for c in collect_costs(store, "water", make_card(), make_scratch_card())}
    assert costs == {
        "cheap labels": 10 * 1.0 * 2,
        "accurate labels for training": 10 * 100.0 * 2,
        "accurate labels for validation": 2 * 5.0,
        "training": 60.0,
        # The teacher is the model compared with: it was trained once.
        "training the teacher (accurate labels alone)": 7200.0,
    }
    assert sum(costs.values()) == pytest.approx(3600 * sum(row["core_hours"] for row in store.status()) + 7260)


def test_sampling_and_validation_are_in_the_bill_with_their_gpu_hours(store):
    for stage, model_id, cpu, gpu in (
        ("sampling", None, 40.0, 0.0),
        ("training", None, 3.0, 0.0),
        ("validation", "0123456789abcdef", 50.0, 7200.0),
        # It lies in the same store, but belongs to no part of this model.
        ("validation", "another", 1000.0, 0.0),
    ):
        with charge(store, "water", stage, own=False) as entry:
            entry.model_id = model_id
            entry.add(Usage(cpu=cpu, gpu=gpu))
    costs = collect_costs(store, "water", make_card(), make_scratch_card())
    without = 3600 * sum(row["core_hours"] for row in store.status()) + 7260
    assert sum(cost.core_seconds for cost in costs) == pytest.approx(without + 93.0)
    assert {cost.kind: cost.core_seconds for cost in costs if cost.validates}["validation"] == 50.0
    text = Page(write(store)).text
    assert "from sampling to validation" in text
    assert "Plus 2 GPU-hours." in text
    assert "GPU-hours" in text


def test_a_comparison_that_is_no_teacher_has_its_own_cost(store):
    card = make_card(strategy="unweighted", parents={})
    costs = {c.stage: c.core_seconds for c in collect_costs(store, "water", card, make_scratch_card())}
    assert costs["training 1 model for comparison"] == 7200.0


def test_a_difference_costs_only_the_cheap_labels_of_its_own_frames(store):
    ids = [frame.frame_id for frame in store.frames("water", split="train")][:4]
    frames = replace(make_card().frames, accurate_train=ids[:3], accurate_valid=ids[3:])
    card = make_card(strategy="delta", adds_to="gfn1-xtb", frames=frames, parents={}, weights=None)
    costs = {c.stage: c.core_seconds for c in collect_costs(store, "water", card, None)}
    assert costs["cheap labels"] == 4 * 1.0 * 2


@pytest.mark.parametrize("strategy", ["score-matching", "distilled"])
def test_a_strategy_without_cheap_labels_pays_for_none(store, strategy):
    costless = {"score-matching": None, "distilled": "gfn1-xtb"}
    card = make_card(strategy=strategy, cheap=costless[strategy], parents={}, weights=None)
    costs = {c.stage: c.core_seconds for c in collect_costs(store, "water", card, None)}
    assert list(costs) == ["accurate labels for training", "accurate labels for validation", "training"]


def test_every_teacher_of_a_committee_is_paid_for(store):
    second = make_scratch_card(model_id="second", core_seconds=800.0)
    records.write(store, "models/water/second/card.json", second)
    card = make_card(parents={"teacher": "fedcba9876543210", "teacher-2": "second"})
    costs = {c.stage: c.core_seconds for c in collect_costs(store, "water", card, make_scratch_card())}
    assert costs["training 2 teachers (accurate labels alone)"] == 7200.0 + 800.0
    assert "training 1 model for comparison" not in costs


def test_every_level_of_a_ladder_is_paid_for(store):
    ladder = {"settings": {"ladder": ["gfn1-xtb"]}, "parents": {}, "weights": None}
    stages = [c.stage for c in collect_costs(store, "water", make_card(strategy="corrected", **ladder), None)]
    assert "labels of gfn1-xtb" in stages
    # The setting may be there and not be used.
    stages = [c.stage for c in collect_costs(store, "water", make_card(strategy="unweighted", **ladder), None)]
    assert "labels of gfn1-xtb" not in stages
