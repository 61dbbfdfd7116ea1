"""Lines from evidence beyond held-out frames: what is off is not checked, what was asked for and is missing fails."""

import json
from dataclasses import replace

import numpy as np
import pytest

from asteroid.settings import ThresholdSettings
from asteroid.store import records
from asteroid.validation.distributions import Distance, Distributions
from asteroid.validation.evidence import Evidence, evidence_lines
from asteroid.validation.harmonic import Frequencies
from asteroid.validation.line import OPEN, Line
from asteroid.validation.on_policy import OnPolicy
from asteroid.validation.torsions import compare_torsion
from tests.validation.certificates import make_certificate, measured, measured_on_energies_alone

LIMITS = ThresholdSettings()
FREQUENCIES = Frequencies(
    np.array([1000.0, 2000.0]), np.array([1010.0, 1950.0]), np.ones(2), mean=30.0, worst=50.0, labels=18
)


def lines(evidence: Evidence) -> dict[str, Line]:
    return {line.name: line for line in evidence_lines(evidence, LIMITS)}


def distance(value: float, noise: float) -> Distance:
    flat = np.ones(3)
    return Distance(
        kind="bond",
        name="C0–H1",
        atoms=((0, 1),),
        value=value,
        low=value / 2,
        high=2 * value,
        bounds=(value / 2, 2 * value),
        noise=noise,
        centres=flat,
        model=flat,
        reference=flat,
    )


def ensemble(*distances: Distance, effective: float = 100.0) -> Distributions:
    return Distributions(300.0, "imported frames", 400, 100, effective, distances)


def test_without_evidence_nothing_is_checked_and_nothing_passes() -> None:
    for line in lines(Evidence()).values():
        assert not line.checked
        assert not line.passed
        assert line.note


def test_the_error_on_own_md_is_that_over_its_frames_and_says_how_many_had_no_label() -> None:
    errors = measured()[0]
    found = lines(Evidence(on_policy=OnPolicy(errors, (300.0,) * 12, asked=14, failed=2)))
    line = found["Force MAE on the model's own MD"]
    assert errors.force_mae is not None
    assert line.value == errors.force_mae.value
    assert "12 frames at 300 K, 2 more without a label" in line.note


def test_frames_of_own_md_none_of_which_could_be_labelled_fail_the_line() -> None:
    line = lines(Evidence(on_policy=OnPolicy(None, (), asked=6, failed=6)))["Force MAE on the model's own MD"]
    assert line.state == OPEN
    assert "failed accurate labels" in line.suffices


def test_own_md_without_accurate_forces_is_not_checked() -> None:
    errors = measured_on_energies_alone()[0]
    line = lines(Evidence(on_policy=OnPolicy(errors, (300.0,) * 12, 12, 0)))["Force MAE on the model's own MD"]
    assert not line.checked


def test_frequencies_are_judged_by_mean_and_by_the_worst_which_is_named() -> None:
    found = lines(Evidence(frequencies=FREQUENCIES, frequencies_asked=True, frequencies_note=""))
    assert not found["Mean deviation of harmonic frequencies"].passed
    assert found["Largest deviation of a harmonic frequency"].passed
    assert "1950 instead of 2000" in found["Largest deviation of a harmonic frequency"].note


def test_frequencies_that_were_asked_for_and_could_not_be_had_fail() -> None:
    found = lines(Evidence(frequencies_asked=True, frequencies_note="the accurate minimum was not reached"))
    line = found["Largest deviation of a harmonic frequency"]
    assert line.checked
    assert not line.passed
    assert line.note == "the accurate minimum was not reached"


def test_the_worst_torsion_counts_and_one_without_a_label_cannot_hide() -> None:
    good = compare_torsion("A", [0, 15], [0.0, 0.010], 0.0, {1: 0.011}, asked=1)
    bad = compare_torsion("B", [0, 15], [0.0, 0.010], 0.0, {1: 0.040}, asked=1)
    line = lines(Evidence(torsions=(good, bad)))["Error of torsion energies"]
    assert line.value == pytest.approx(30.0)
    assert "about B" in line.note
    missing = compare_torsion("C", [0, 15], [0.0, 0.010], 0.0, {}, asked=1)
    line = lines(Evidence(torsions=(good, missing)))["Error of torsion energies"]
    assert line.checked
    assert line.value is None


def test_a_torsion_without_the_label_at_its_barrier_does_not_pass_on_the_others() -> None:
    lacking = compare_torsion("A", [0, 15, 30], [0.0, 0.010, 0.02], 0.0, {1: 0.011}, asked=2)
    line = lines(Evidence(torsions=(lacking,)))["Error of torsion energies"]
    assert line.checked
    assert not line.passed
    assert "accurate labels are missing for 1 of 1 bond" in line.note


def test_own_md_most_of_whose_labels_failed_does_not_pass_on_the_rest() -> None:
    errors = measured()[0]
    few, many = (OnPolicy(errors, (300.0,) * 12, 12 + failed, failed) for failed in (3, 4))
    name = "Force MAE on the model's own MD"
    passed, failed = (lines(Evidence(on_policy=found))[name] for found in (few, many))
    assert passed.value is not None
    assert "3 more without a label" in passed.note
    assert failed.checked
    assert failed.value is None
    assert failed.note.startswith("4 of 16 frames got no accurate label")


def test_a_distribution_is_judged_only_where_noise_lets_it() -> None:
    clear, noisy = distance(0.03, 0.001), distance(0.5, 0.3)
    line = lines(Evidence(distributions=(ensemble(clear, noisy),)))["Bond lengths in MD"]
    assert (line.value, line.state) == (0.03, "failed")
    line = lines(Evidence(distributions=(ensemble(distance(0.007, 0.001)),)))["Bond lengths in MD"]
    assert line.state == OPEN, "its bounds are 0.0035 and 0.014 Å"
    assert "longer MD" in line.suffices
    assert lines(Evidence(distributions=(ensemble(distance(0.004, 0.001)),)))["Bond lengths in MD"].passed
    line = lines(Evidence(distributions=(ensemble(noisy),)))["Bond lengths in MD"]
    assert not line.checked
    assert "noise 0.3" in line.note
    line = lines(Evidence(distributions=(ensemble(effective=4.0),)))["Bond lengths in MD"]
    assert not line.checked
    assert "reference of 4 effective frames" in line.note


def test_distances_between_fragments_are_a_line_of_clusters_alone() -> None:
    apart = replace(distance(0.3, 0.001), kind="fragments", name="H2O to H2O")
    line = lines(Evidence(distributions=(ensemble(apart),)))["Distances between fragments in MD"]
    assert line.checked
    assert not line.passed
    assert "H2O to H2O" in line.note
    line = lines(Evidence(distributions=(ensemble(distance(0.002, 0.001)),)))["Distances between fragments in MD"]
    assert not line.checked
    assert line.note == "none in this molecule"


def test_a_certificate_with_all_evidence_is_strict_json_and_is_failed_by_it() -> None:
    evidence = Evidence(
        on_policy=OnPolicy(measured()[0], (300.0,) * 12, 12, 0),
        frequencies=FREQUENCIES,
        frequencies_asked=True,
        torsions=(compare_torsion("A", [0, 15], [0.0, 0.010], 0.0, {1: 0.011}, asked=1),),
        distributions=(ensemble(distance(0.03, 0.001)),),
    )
    certificate = make_certificate(evidence=evidence)
    content = records.to_json(certificate)
    json.dumps(content, allow_nan=False)
    assert content["evidence"]["torsions"][0]["points"] == [1]
    assert not certificate.passed
    assert make_certificate(evidence=replace(evidence, on_policy=None, frequencies=None, frequencies_asked=False,
                                             distributions=())).passed  # fmt: skip
