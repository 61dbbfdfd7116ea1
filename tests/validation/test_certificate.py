import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteroid.settings import ThresholdSettings
from asteroid.store import Store, records
from asteroid.validation.certificate import IMAGINARY_NOISE, Certificate, Looks
from asteroid.validation.errors import measure_errors
from asteroid.validation.evidence import Evidence, evidence_lines
from asteroid.validation.intervals import Estimate
from asteroid.validation.line import NO_FORCES, OPEN, Remedy, make_line, remake_line
from asteroid.validation.survival import kaplan_meier
from tests.validation.certificates import as_if_longer, make_certificate, make_energy_only_certificate, measured


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
def test_an_exact_line_passes_when_its_comparison_holds_and_fails_when_not(value, threshold):
    assert make_line("x", value, "", threshold, "<=").state == ("passed" if value <= threshold else "failed")
    assert make_line("x", value, "", threshold, ">=").state == ("passed" if value >= threshold else "failed")


@pytest.mark.parametrize(
    ("comparison", "low", "high", "state"),
    [
        ("<=", 0.5, 0.9, "passed"),
        ("<=", 0.5, 1.1, OPEN),
        ("<=", 1.1, 1.5, "failed"),
        (">=", 1.1, 1.5, "passed"),
        (">=", 0.5, 1.1, OPEN),
        (">=", 0.5, 0.9, "failed"),
    ],
)
def test_a_line_is_decided_by_the_bound_that_is_farther_from_passing(comparison, low, high, state):
    line = make_line("x", (low + high) / 2, "", 1.0, comparison, low=low, high=high, confidence=0.95)
    assert line.state == state
    # Too little evidence never passes, and may show all the same that a threshold is missed.
    assert remake_line(line, enough=False).state == (OPEN if state == "passed" else state)
    assert remake_line(line, checked=False).state == "not checked"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
def test_what_was_not_measured_does_not_pass(value):
    for comparison in ("<=", ">="):
        assert make_line("x", value, "", 1.0, comparison).state == "failed"
        assert make_line("x", value, "", 1.0, comparison, enough=False).state == OPEN


def errors_of(values, groups=None):
    """Errors of a diatomic whose forces are off by so much, eV/Å, in each frame."""
    return measure_errors(
        [f"frame-{i}" for i in range(len(values))],
        reference_energies=np.zeros(len(values)),
        predicted_energies=np.array(values) / 100,
        reference_forces=[np.zeros((2, 3))] * len(values),
        predicted_forces=[np.full((2, 3), value) for value in values],
        groups=groups,
    )


def force_line(errors, **changes):
    return line_of(make_certificate(errors=errors, scratch_errors=None, **changes), "Force MAE")


def test_three_good_test_frames_are_not_enough_evidence_and_the_line_says_what_is():
    line = force_line(errors_of([0.010, 0.010, 0.011]))
    assert line.value < line.high < line.threshold
    assert line.state == OPEN
    assert line.suffices == "about 5 labelled frames instead of 3, if they scatter alike"
    assert line.remedy == Remedy("budget", "test", 5, labels=2)


def test_an_error_whose_interval_straddles_the_threshold_asks_for_frames_by_their_scatter():
    thresholds = ThresholdSettings(force_mae=0.05)
    values = [0.02, 0.07, 0.03, 0.06, 0.02, 0.06] * 2
    line = force_line(errors_of(values), thresholds=thresholds)
    assert line.low < line.value < 0.05 < line.high
    assert line.state == OPEN
    assert line.remedy.value > 12
    more = force_line(errors_of(values * (line.remedy.value // 12 + 1)), thresholds=thresholds)
    assert more.state == "passed"
    assert force_line(errors_of([10 * v for v in values]), thresholds=thresholds).state == "failed"


def test_frames_that_are_judged_again_need_a_surer_bound():
    errors = errors_of([0.02, 0.03, 0.025, 0.02, 0.03, 0.025])
    first, third = (force_line(errors, looks=Looks(test=look)) for look in (1, 3))
    assert (first.confidence, third.confidence) == (0.975, 0.99375)
    assert third.high > first.high
    assert "look 3 at these frames" in third.note


def test_frames_of_one_trajectory_are_not_enough_evidence_however_many():
    line = force_line(errors_of([0.01, 0.012] * 10, groups=["md-1"] * 20))
    assert line.state == OPEN


def survival_line(replicas, failed, *, ps=0.5, **thresholds):
    dynamics = as_if_longer(measured()[2], ps=ps)
    survival = kaplan_meier(
        [ps] * (replicas - failed) + [ps / 2] * failed, [False] * (replicas - failed) + [True] * failed
    )
    at = replace(dynamics.survival[1], survival=survival)
    certificate = make_certificate(
        dynamics=replace(dynamics, survival=(dynamics.survival[0], at)), thresholds=ThresholdSettings(**thresholds)
    )
    return line_of(certificate, "Trajectories that survived")


def test_survival_is_judged_by_its_lower_bound_where_least_is_known():
    assert survival_line(30, 0).state == "passed"
    assert survival_line(30, 0).low == pytest.approx(0.05 ** (1 / 30))
    few = survival_line(8, 0)
    assert few.state == OPEN
    assert few.suffices == "29 trajectories at each temperature without a failure, instead of 8"
    assert few.remedy == Remedy("validation", "replicas", 29)
    assert survival_line(30, 1).suffices.startswith("46 trajectories at each temperature with no more failures than 1")
    assert survival_line(30, 12).state == "failed"
    assert survival_line(2, 2).state == "failed", "even two show it when both break"


def test_trajectories_of_a_fifth_of_a_picosecond_are_not_enough_evidence():
    line = survival_line(60, 0, ps=0.2)
    assert line.low > line.threshold
    assert line.state == OPEN
    assert line.remedy == Remedy("validation", "nvt_ps", 0.5)


def test_a_drift_counts_with_the_error_of_its_slope():
    dynamics = measured()[2]

    def line(**changes):
        thresholds = ThresholdSettings(nve_drift=0.01)
        changed = replace(dynamics, nve=replace(dynamics.nve, **changes))
        return line_of(make_certificate(dynamics=changed, thresholds=thresholds), "NVE energy drift")

    assert line(drift=0.004, drift_error=0.005).state == "passed"
    unsure = line(drift=0.004, drift_error=0.012)
    assert unsure.state == OPEN
    # The error has to fall to half, so the trajectory to become 2^(2/3) times as long: 0.317 ps.
    assert unsure.remedy == Remedy("validation", "nve_ps", 0.4)
    assert line(drift=0.04, drift_error=0.012).state == "failed"
    assert line(drift=0.004, drift_error=float("inf")).state == OPEN


def test_a_certificate_is_passed_by_passed_lines_alone_and_failed_by_one():
    few = make_certificate(errors=errors_of([0.010, 0.010, 0.011]), scratch_errors=None)
    assert (few.state, few.passed) == (OPEN, False)
    both = make_certificate(errors=errors_of([0.010, 0.010, 0.011]), scratch_errors=None, minimum=None)
    assert both.state == "failed"


def test_a_model_that_accurate_labels_alone_surely_beat_is_not_certified():
    errors, scratch = measured()[:2]
    certificate = make_certificate(errors=scratch, scratch_errors=errors)
    assert all(line.passed for line in certificate.lines if line.checked)
    assert (certificate.beaten, certificate.state) == (True, "failed")
    assert not make_certificate().beaten


def test_a_certificate_survives_json():
    content = records.to_json(make_certificate())
    json.dumps(content, allow_nan=False)
    assert content["passed"] is True
    assert content["lines"][0]["passed"] is True
    assert len(content["errors"]["reference_forces"]) == len(content["errors"]["frame_ids"]) == 12


def test_a_certificate_is_read_as_it_was_stored(tmp_path):
    store = Store(str(tmp_path))
    errors = replace(measured()[0], force_mae=Estimate(0.1, 0.0, math.inf, 0.0, 0))
    for name, made in (("one", make_certificate()), ("no-bound", make_certificate(errors=errors))):
        records.write(store, f"{name}.json", made, nulls=True)
        found = records.read(store, Certificate, f"{name}.json")
        assert records.to_json(found, nulls=True) == records.to_json(made, nulls=True)
        # What has no upper end does not pass for having lost it in JSON.
        assert (found.state, found.errors.force_mae.high) == (made.state, made.errors.force_mae.high)
    assert found.state == OPEN


def test_a_certificate_of_version_0_1_keeps_its_verdict(tmp_path):
    store = Store(str(tmp_path))
    later = {"model", "unseen", "looks", "passed_over", "state", "beaten", "harm", "groups", "drift_error"}
    later |= {"spread", "degrees"}
    of_lines = {"low", "high", "confidence", "enough", "suffices", "remedy", "bound"}

    def older(found):
        if isinstance(found, list):
            return [older(one) for one in found]
        if not isinstance(found, dict):
            return found
        left_out = later | of_lines if "threshold" in found else later
        return {key: older(value) for key, value in found.items() if key not in left_out}

    for loose in (True, False):
        content = records.to_json(make_certificate(loose=loose))
        store.write_json(f"{loose}.json", older(content))
        found = records.read(store, Certificate, f"{loose}.json")
        assert (found.passed, found.state, found.model) == (loose, "passed" if loose else "failed", "water")
        assert [line.state for line in found.lines] == [line["state"] for line in content["lines"]]


def test_a_number_that_is_not_finite_becomes_null():
    errors = replace(measured()[0], force_worst=float("nan"))
    content = records.to_json(make_certificate(errors=errors), nulls=True)
    assert content["errors"]["force_worst"] is None
    json.dumps(content, allow_nan=False)


def test_a_trajectory_that_failed_is_named_with_its_reason_and_has_no_drift():
    dynamics = measured()[2]
    broken = replace(dynamics.nve, reason="bond broken: O0–H1 at 1.80 Å", survived=0.04, drift=None, fluctuation=None)
    for changes in ({"nve": broken}, {"nve_half": broken}):
        drift = line_of(make_certificate(dynamics=replace(dynamics, **changes)), "NVE energy drift")
        assert drift.value is None
        assert drift.state == "failed"
        assert "NVE at 600 K ended after 0.040 ps: bond broken: O0–H1 at 1.80 Å" in drift.note


def test_energy_that_drifts_down_counts_like_energy_that_drifts_up():
    dynamics = measured()[2]
    falling = replace(dynamics, nve=replace(dynamics.nve, drift=-0.5))
    assert line_of(make_certificate(dynamics=falling), "NVE energy drift").value == 0.5


def test_an_accurate_minimum_that_was_not_reached_does_not_pass_however_near():
    minimum = replace(measured()[3], converged=False, rmsd=1e-6, accurate_force=0.04)
    line = line_of(make_certificate(minimum=minimum), "Distance to the accurate minimum")
    assert not line.passed
    assert "largest force 40 meV/Å" in line.note


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
    content = records.to_json(make_energy_only_certificate())
    json.dumps(content, allow_nan=False)
    assert content["errors"]["force_mae"] is None
    assert [line["checked"] for line in content["lines"]].count(False) == 3 + len(
        evidence_lines(Evidence(), ThresholdSettings())
    )
