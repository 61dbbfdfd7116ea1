"""The next step after a certificate that was not passed: what to buy, what it costs, what to write."""

from dataclasses import replace

import pytest

from asteroid.report.answers import answer
from asteroid.report.cost import Cost
from asteroid.report.next_step import Spent, next_step
from asteroid.settings import ThresholdSettings
from asteroid.validation.evidence import Evidence
from asteroid.validation.on_policy import OnPolicy
from tests.validation.certificates import as_if_longer, make_card, make_certificate, measured

SPENT = Spent(labels=40, label_seconds=36.0, md_seconds=2.0, md_ps=2.0, temperatures=2)


def step(spent=SPENT, **changes):
    return next_step(make_certificate(**changes), spent)


def test_a_certified_model_needs_no_next_step():
    assert step() == ""


def test_a_missed_error_asks_for_labels_by_how_far_it_is_off_with_their_price_and_the_key_to_write():
    errors = measured()[0]
    # 1.5 times off and more, and the error falls with the root of the labels: twice as many, the most of one step.
    thresholds = ThresholdSettings(
        force_mae=errors.force_mae.low / 1.5, energy_mae=1.0, nve_drift=0.01, minimum_force=5.0, minimum_rmsd=0.5
    )
    said = step(thresholds=thresholds)
    assert said.startswith(
        "Next: 40 more accurate labels for training, about 0.4 core-hours, because it fails force MAE."
    )
    assert said.endswith("Write budget: {accurate: 80}")
    loop = step(replace(SPENT, rounds_allowed=2), thresholds=thresholds)
    assert loop.endswith("Write budget: {accurate: 80} and acquisition: {certify_rounds: 3}")


def test_with_a_chain_the_budget_that_pays_for_all_its_levels_grows():
    errors = measured()[0]
    thresholds = ThresholdSettings(
        force_mae=errors.force_mae.low / 1.5, energy_mae=1.0, nve_drift=0.01, minimum_force=5.0, minimum_rmsd=0.5
    )
    # 15 accurate labels and many below them, for the cost of 40.
    said = step(replace(SPENT, labels=15, budget=("accurate", 40.0, 1440.0)), thresholds=thresholds)
    assert said.startswith("Next: more labels at all levels of the chain, about 0.4 core-hours, because it fails force")
    assert said.endswith("Write budget: {accurate: 80}")
    said = step(replace(SPENT, labels=15, budget=("core_hours", 0.4, 1440.0)), thresholds=thresholds)
    assert said.endswith("Write budget: {core_hours: 0.8}")


def test_a_molecule_that_only_judges_buys_no_labels_of_its_own_to_train_on():
    errors = measured()[0]
    thresholds = ThresholdSettings(
        force_mae=errors.force_mae.low / 1.5, energy_mae=1.0, nve_drift=0.01, minimum_force=5.0, minimum_rmsd=0.5
    )
    certificate = replace(make_certificate(thresholds=thresholds), model="alcohols", unseen=True)
    said = next_step(certificate, SPENT)
    assert said.startswith("Next: because it fails force MAE, move this molecule from judge to molecules of the model ")
    assert "budget" not in said


def test_a_steeper_learning_curve_asks_for_fewer_labels():
    errors = measured()[0]
    thresholds = ThresholdSettings(
        force_mae=errors.force_mae.low / 1.05, energy_mae=1.0, nve_drift=0.01, minimum_force=5.0, minimum_rmsd=0.5
    )
    few, many = (step(replace(SPENT, exponent=b), thresholds=thresholds) for b in (2.0, 0.5))
    labels = [int(said.split()[1]) for said in (few, many)]
    assert labels[0] < labels[1] <= 40


def test_missing_evidence_is_bought_where_it_is_missing_with_its_price():
    said = step(dynamics=as_if_longer(measured()[2], replicas=8))
    # 29 replicas of 2 ps at two temperatures, 2 core-seconds a picosecond.
    assert said.startswith("Next: more evidence (MD, about 0.064 core-hours). Trajectories that survived: 29 traj")
    assert said.endswith("Write validation: {replicas: 29}")
    few = OnPolicy(replace(measured()[0], frame_ids=tuple("abc")), (300.0,) * 3, 3, 0)
    said = step(
        dynamics=as_if_longer(measured()[2], replicas=8),
        evidence=Evidence(on_policy=few),
        thresholds=ThresholdSettings(
            force_mae=5, energy_mae=1, nve_drift=0.01, minimum_force=5, minimum_rmsd=0.5, on_policy_mae=5
        ),
    )
    assert "2 accurate labels, about 0.02 core-hours" in said
    assert "Write validation: {replicas: 29, on_policy: 5}" in said


def test_a_better_model_of_accurate_labels_alone_is_the_next_step():
    errors, scratch = measured()[:2]
    said = step(errors=scratch, scratch_errors=errors)
    assert "Write training: {strategy: scratch}" in said
    # Four labels on the way to the accurate minimum.
    assert "about 4 accurate labels, about 0.04 core-hours" in said


@pytest.mark.parametrize("said", ["", "Next: 20 more accurate labels"])
def test_the_next_step_stands_on_the_first_screen(said):
    sentences = answer(
        make_certificate(), make_card(), [Cost("training", 1.0, "training")], next_step=said
    ).good.sentences
    assert (f"{said}." in sentences) == bool(said)
