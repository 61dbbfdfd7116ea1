from dataclasses import replace
from typing import get_args

import pytest

from asteroid.quantities import format_number
from asteroid.report.verdict import benefit_sentence, needs_sentence, quality_sentence
from asteroid.report.words import how_trained
from asteroid.settings import Strategy, ThresholdSettings
from asteroid.strategies import strategy_named
from asteroid.validation.certificate import PassedOver
from asteroid.validation.intervals import Estimate
from tests.validation.certificates import (
    as_if_longer,
    make_card,
    make_certificate,
    make_energy_only_card,
    make_energy_only_certificate,
    measured,
)


def with_ratio(value, low, high):
    return replace(make_certificate(), improvement=Estimate(value, low, high))


def with_scratch_energy(certificate, value):
    scratch = certificate.scratch_errors
    return replace(certificate, scratch_errors=replace(scratch, energy_mae=replace(scratch.energy_mae, value=value)))


def test_a_gain_is_said_with_its_interval():
    sentence = benefit_sentence(with_ratio(2.0, 1.5, 2.5), make_card())
    assert sentence.startswith(
        "The cheap labels reduced the force error by a factor of 2.00 (95% interval 1.50 to 2.50)"
    )
    assert "with the same 10 accurate labels, on 12 test frames." in sentence


def test_a_loss_is_said_plainly_and_the_other_model_recommended():
    sentence = benefit_sentence(with_ratio(0.5, 0.4, 0.8), make_card())
    assert sentence.startswith(
        "The cheap labels increased the force error by a factor of 2.00 (95% interval 1.25 to 2.50)"
    )
    assert "Use the model trained on accurate labels alone." in sentence


def test_a_model_that_was_not_handed_over_is_said_to_harm_with_its_figures():
    errors, worse = measured()[:2]
    other = PassedOver("0123456789abcdef", "weighted", worse, chosen_on=10)
    certificate = make_certificate(errors=errors, scratch_errors=None, passed_over=other)
    assert certificate.harm.low > 1
    sentence = benefit_sentence(certificate, make_card(strategy="scratch"))
    assert sentence.startswith("The cheap labels increased the force error by a factor of")
    assert f"to {format_number(1000 * worse.force_mae.value)} meV/Å on 12 test frames" in sentence
    assert "10 held-out frames led to this choice" in sentence


def test_what_could_not_be_told_is_said_with_what_is_missing():
    said = quality_sentence(make_certificate(dynamics=as_if_longer(measured()[2], replicas=8)))
    assert said.startswith("The model meets 6 of 7 checked requirements.")
    assert "Not enough evidence: trajectories that survived." in said


@pytest.mark.parametrize(("value", "low", "high"), [(1.2, 0.9, 1.5), (0.9, 0.7, 1.1), (1.0, 1.0, 1.0)])
def test_an_interval_that_includes_one_claims_nothing(value, low, high):
    sentence = benefit_sentence(with_ratio(value, low, high), make_card())
    assert sentence.startswith("No significant difference:")
    assert "reduced" not in sentence


def test_a_gain_in_forces_that_costs_energies_is_not_called_a_gain_in_both():
    certificate = with_ratio(2.0, 1.5, 2.5)
    certificate = with_scratch_energy(certificate, certificate.errors.energy_mae.value / 2)
    assert "But the energy error rose from" in benefit_sentence(certificate, make_card())


def test_without_a_comparison_nothing_is_claimed():
    certificate = make_certificate(with_scratch=False)
    assert "is unknown" in benefit_sentence(certificate, make_card())
    assert "no gain from cheap labels" in benefit_sentence(certificate, make_card(strategy="scratch"))


def test_the_requirements_that_failed_are_named():
    passed = quality_sentence(make_certificate())
    assert passed.startswith("The model meets all 7 checked requirements. Not checked: model's own MD,")
    failed = quality_sentence(make_certificate(loose=False))
    assert failed.startswith("The model fails 1 of 7 checked requirements: force MAE. Not checked:")


def test_a_certificate_of_which_every_line_was_checked_mentions_no_other():
    certificate = make_certificate()
    certificate = replace(certificate, lines=tuple(line for line in certificate.lines if line.checked))
    assert quality_sentence(certificate) == "The model meets all 7 requirements."


def test_a_verdict_on_energies_alone_says_that_forces_were_never_checked():
    sentence = quality_sentence(make_energy_only_certificate())
    assert sentence.startswith("The model meets all 4 checked requirements. Its forces were not checked")
    failed = quality_sentence(make_energy_only_certificate(thresholds=ThresholdSettings(energy_mae=1e-9)))
    assert failed.startswith("The model fails ")
    assert "of 4 checked requirements: " in failed


@pytest.mark.parametrize(
    ("ratio", "opening"),
    [
        ((2.0, 1.5, 2.5), "The cheap labels reduced"),
        ((0.5, 0.4, 0.8), "The cheap labels increased"),
        ((1.0, 0.9, 1.1), "No significant"),
    ],
)
def test_a_benefit_in_energies_alone_claims_nothing_about_forces(ratio, opening):
    certificate = make_energy_only_certificate()
    certificate = replace(certificate, improvement=Estimate(*ratio))
    certificate = with_scratch_energy(certificate, ratio[0] * certificate.errors.energy_mae.value)
    sentence = benefit_sentence(certificate, make_energy_only_card())
    assert sentence.startswith(opening)
    assert "the energy error" in sentence
    assert "force error" not in sentence
    assert sentence.endswith("The effect on the forces is unknown: the accurate labels are energies alone.")


@pytest.mark.parametrize(("low", "high"), [(1.5, 2.5), (0.4, 0.8), (0.9, 1.1)])
@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_cheap_labels_are_praised_and_blamed_only_where_the_model_saw_them(strategy, low, high):
    sentence = benefit_sentence(with_ratio((low * high) ** 0.5, low, high), make_card(strategy=strategy)).lower()
    sees_labels = strategy in ("unweighted", "weighted", "corrected", "multihead")
    assert ("the cheap labels" in sentence) == sees_labels
    assert strategy_named(strategy).aid in sentence


def test_every_strategy_says_how_it_trained_with_its_own_numbers():
    frames = replace(make_card().frames, configurations=1200)
    how = {s: how_trained(make_card(strategy=s, frames=frames)) for s in get_args(Strategy)}
    assert len(set(how.values())) == len(how)
    assert how["weighted"] == "pretrained on 50 labels of gfn1-xtb, weighted by their estimated bias"
    assert "1,200 configurations without labels" in how["score-matching"]
    assert "gfn1-xtb" in how["delta"]


def test_only_a_model_of_a_difference_needs_something_at_run_time():
    assert needs_sentence(make_card()) == ""
    assert needs_sentence(make_card(adds_to=None)) == ""
    assert needs_sentence(make_card(strategy="delta", adds_to="gfn1-xtb")).startswith("It needs gfn1-xtb at run time:")
