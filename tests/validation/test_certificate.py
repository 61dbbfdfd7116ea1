import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteroid.settings import ThresholdSettings
from asteroid.validation.certificate import IMAGINARY_NOISE, NO_FORCES, Line
from asteroid.validation.evidence import Evidence, evidence_lines
from tests.validation.certificates import make_certificate, make_energy_only_certificate, measured


def line_of(certificate, name):
    return next(line for line in certificate.lines if line.name == name)


def test_a_certificate_whose_lines_all_pass_passes():
    certificate = make_certificate()
    assert all(line.passed for line in certificate.lines if line.checked)
    assert certificate.passed


def test_one_line_that_fails_fails_the_certificate():
    certificate = make_certificate(loose=False)
    assert [line.name for line in certificate.lines if line.checked and not line.passed] == ["Force MAE"]
    assert not certificate.passed


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_a_line_passes_exactly_when_its_comparison_holds(value, threshold):
    assert Line("x", value, "", threshold, "<=").passed == (value <= threshold)
    assert Line("x", value, "", threshold, ">=").passed == (value >= threshold)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
def test_what_was_not_measured_does_not_pass(value):
    assert not Line("x", value, "", 1.0, "<=").passed
    assert not Line("x", value, "", 1.0, ">=").passed


def test_a_certificate_survives_json():
    content = make_certificate().to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["passed"] is True
    assert content["lines"][0]["passed"] is True
    assert len(content["errors"]["reference_forces"]) == len(content["errors"]["frame_ids"]) == 12


def test_a_number_that_is_not_finite_becomes_null():
    errors = replace(measured()[0], force_worst=float("nan"))
    content = make_certificate(errors=errors).to_json()
    assert content["errors"]["force_worst"] is None
    json.dumps(content, allow_nan=False)


def test_a_trajectory_that_failed_is_named_with_its_reason_and_has_no_drift():
    dynamics = measured()[2]
    broken = replace(dynamics.nve, reason="bond broken: O0–H1 at 1.80 Å", survived=0.04, drift=None, fluctuation=None)
    certificate = make_certificate(dynamics=replace(dynamics, nve=broken))
    drift, survived = line_of(certificate, "NVE energy drift"), line_of(certificate, "Trajectories that survived")
    assert drift.value is None
    assert not drift.passed
    count = len(dynamics.trajectories)
    assert survived.value == pytest.approx((count - 1) / count)
    assert "NVE at 600 K ended after 0.040 ps: bond broken: O0–H1 at 1.80 Å" in survived.note


def test_energy_that_drifts_down_counts_like_energy_that_drifts_up():
    dynamics = measured()[2]
    falling = replace(dynamics, nve=replace(dynamics.nve, drift=-0.5))
    assert line_of(make_certificate(dynamics=falling), "NVE energy drift").value == 0.5


def test_an_accurate_minimum_that_was_not_reached_does_not_pass_however_near():
    minimum = replace(measured()[3], converged=False, rmsd=1e-6, accurate_force=0.04)
    line = line_of(make_certificate(minimum=minimum), "Distance to the accurate minimum")
    assert not line.passed
    assert "0.04 eV/Å left" in line.note


def test_a_saddle_point_is_not_a_minimum():
    minimum = measured()[3]
    saddle = replace(minimum, frequencies=np.array([-2 * IMAGINARY_NOISE, 1600.0, 3700.0]))
    noisy = replace(minimum, frequencies=np.array([-IMAGINARY_NOISE / 2, 1600.0, 3700.0]))
    assert not line_of(make_certificate(minimum=saddle), "Imaginary modes at the model's minimum").passed
    assert line_of(make_certificate(minimum=noisy), "Imaginary modes at the model's minimum").passed


def test_a_minimum_that_could_not_be_compared_fails_with_its_reason():
    certificate = make_certificate(minimum=None, minimum_note="no accurate label of the minimum")
    assert not certificate.passed
    assert line_of(certificate, "Distance to the accurate minimum").note == "no accurate label of the minimum"


def test_thresholds_come_from_the_settings():
    thresholds = ThresholdSettings(force_mae=0.123)
    assert line_of(make_certificate(thresholds=thresholds), "Force MAE").threshold == 0.123


def test_improvement_is_there_only_with_a_scratch_model():
    assert make_certificate().improvement.value > 1
    assert make_certificate(with_scratch=False).improvement is None


def test_forces_that_no_accurate_label_has_are_not_checked_and_everything_else_is():
    certificate = make_energy_only_certificate()
    unchecked = {line.name: line for line in certificate.lines if not line.checked}
    for line in evidence_lines(Evidence(), ThresholdSettings()):
        del unchecked[line.name]
    assert set(unchecked) == {"Force MAE", "Accurate force at the model's minimum", "Distance to the accurate minimum"}
    assert not any(line.passed for line in unchecked.values())
    assert {line.note for line in unchecked.values()} == {NO_FORCES}
    assert line_of(certificate, "Imaginary modes at the model's minimum").passed
    assert certificate.passed


def test_a_checked_line_that_fails_fails_a_certificate_without_forces():
    assert not make_energy_only_certificate(thresholds=ThresholdSettings(energy_mae=1e-9)).passed
    certificate = make_energy_only_certificate(minimum=None, minimum_note="the model's optimisation did not converge")
    assert not certificate.passed
    assert line_of(certificate, "Imaginary modes at the model's minimum").note.endswith("did not converge")


def test_a_certificate_without_forces_is_strict_json():
    content = make_energy_only_certificate().to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["errors"]["force_mae"] is None
    assert [line["checked"] for line in content["lines"]].count(False) == 3 + len(
        evidence_lines(Evidence(), ThresholdSettings())
    )
