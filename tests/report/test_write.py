"""The report of a model: what is on its page."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pyarrow.parquet as pq
import pytest

from asteroid.report.gather import collect_bias, summarise_level
from asteroid.report.write import teacher_forces
from asteroid.store import Store, records
from asteroid.store.models import CorrectionSummary
from asteroid.validation.evidence import Evidence
from asteroid.validation.on_policy import OnPolicy
from tests.report.conftest import ACCURATE, CHEAP, HOSTILE
from tests.report.pages import FOLDER, Page, write, write_certificate
from tests.report.test_certificate_plots import full_certificate
from tests.validation.certificates import (
    make_card,
    make_certificate,
    make_energy_only_card,
    make_energy_only_certificate,
    make_scratch_card,
    measured,
)


def test_a_report_lies_beside_its_certificate_in_the_store(store):
    write(store)
    pictures = ["how-good.png", "cost.png", "bought.png"]
    assert sorted(store.names(FOLDER)) == sorted(["answers.json", "certificate.json", "report.html", *pictures])
    assert all(store.read(f"{FOLDER}/{name}").startswith(b"\x89PNG") for name in pictures)
    assert store.read_json(f"{FOLDER}/certificate.json")["passed"] is True


@pytest.mark.usefixtures("drawn")
def test_a_report_loads_nothing_from_anywhere(store):
    page = Page(write(store))
    assert not {"link", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 12
    assert all(source.startswith("data:image/png;base64,") for source in images)
    assert not [attributes for tag, attributes in page.tags if tag == "script" and "src" in attributes]
    # 3Dmol.js could load molecules from elsewhere; the page forbids it.
    (policy,) = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    assert "unsafe" not in policy.partition("script-src")[2]


def test_a_page_may_be_mailed(store):
    assert len(write(store)) < 1_500_000


def test_links_lead_to_the_index_the_certificate_and_the_model(store):
    page = Page(write(store))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    places = [link for link in links if not link.startswith(("#", "data:"))]
    assert places == ["../../index.html", "../../../models/water/0123456789abcdef/model.model", "certificate.json"]
    assert all((Path(store.location(FOLDER)) / place).exists() for place in (places[0], places[2]))
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link[1:] for link in links if link.startswith("#")} <= ids


def test_the_frames_in_a_report_are_those_of_the_store_with_their_accurate_and_predicted_values(store):
    errors = measured()[0]
    links = [
        attributes for tag, attributes in Page(write(store)).tags if attributes.get("href", "").startswith("data:")
    ]
    files = {one["download"]: base64.b64decode(one["href"].partition(",")[2]) for one in links}
    # Two of the twelve test frames are in the store.
    images = ase.io.read(io.StringIO(files["water.extxyz"].decode()), index=":", format="extxyz")
    known = {frame.frame_id: frame.configuration for frame in store.frames("water")}
    assert len(images) == 2
    for atoms in images:
        row = errors.frame_ids.index(atoms.info["frame_id"])
        # Eight decimals.
        assert atoms.positions == pytest.approx(known[atoms.info["frame_id"]].positions, abs=1e-8)
        assert atoms.arrays["REF_forces"] == pytest.approx(errors.reference_forces[row], abs=1e-8)
        assert atoms.arrays["MACE_forces"] == pytest.approx(errors.predicted_forces[row], abs=1e-8)
        assert atoms.info["REF_energy"] == pytest.approx(errors.reference_energies[row])
    table = pq.read_table(io.BytesIO(files["water.parquet"]))
    assert set(table["frame_id"].to_pylist()) == set(errors.frame_ids)
    assert table.schema.field("accurate_forces").metadata == {b"unit": "eV/Å".encode()}


def test_a_report_answers_how_good_what_it_cost_and_what_that_bought_first(store):
    text = Page(write(store)).text
    order = [
        "meets all 7",
        "of CPU time",
        "The cheap labels reduced",
        "Errors and structures",
        "Certificate Requirement",
    ]
    order += [
        "Bias of the cheap level",
        "Molecular dynamics",
        "Minimum and vibrations",
        "Labels and cost",
        "Use and provenance of the model",
    ]
    places = [text.index(heading) for heading in order]
    assert places == sorted(places)
    assert "The cheap labels reduced the force error" in text
    assert "The model meets all 7 checked requirements." in text


def test_a_report_shows_how_to_load_the_model(store):
    text = Page(write(store)).text
    location = store.location("models/water/0123456789abcdef/model.model")
    assert f'MACECalculator(model_paths="{location}"' in text


def test_a_trajectory_that_ended_early_is_shown_and_the_others_are_summed_up(store):
    dynamics = make_certificate().dynamics
    sound = replace(dynamics.nve, ensemble="nvt", temperature=300.0, mean_temperature=290.0, seed=77, reason=None)
    hotter = replace(sound, mean_temperature=310.0)
    broken = replace(sound, seed=88, reason="bond broken")
    text = write(store, make_certificate(dynamics=replace(dynamics, nvt=(sound, hotter, broken))))
    assert ">88<" in text
    assert ">77<" not in text
    assert "NVT at 300 K: 2 trajectories of" in text
    assert "mean temperature of 300 K" in text


def test_reasons_from_other_programs_are_escaped(store):
    text = write(store)
    assert HOSTILE not in text
    assert f"2 × failed: {HOSTILE}" in Page(text).text


def test_a_hostile_name_or_reason_in_card_and_certificate_is_escaped(store):
    errors, _, dynamics, _ = measured()
    dynamics = replace(dynamics, nve=replace(dynamics.nve, reason=HOSTILE, drift=None))
    certificate = replace(make_certificate(dynamics=dynamics, errors=errors), molecule="<img src=x onerror=1>")
    text = write(store, certificate, make_card())
    assert HOSTILE not in text
    assert "<img src=x" not in text
    assert "<img src=x onerror=1>" in Page(text).text


def test_a_report_says_when_the_cheap_labels_harmed(store):
    errors, scratch, _, _ = measured()
    text = Page(write(store, make_certificate(errors=scratch, scratch_errors=errors))).text
    assert "The cheap labels increased the force error" in text
    assert "reduced" not in text


@pytest.mark.parametrize("strategy", ["scratch", "unweighted"])
def test_a_report_needs_neither_weights_nor_comparison_nor_minimum(store, strategy):
    cheap = None if strategy == "scratch" else "gfn1-xtb"
    card = make_card(strategy=strategy, cheap=cheap, weights=None, parents={}, history=[])
    certificate = make_certificate(with_scratch=False, minimum=None, minimum_note="the label failed")
    text = Page(write(store, certificate, card, scratch=None)).text
    assert "The model's minimum was not compared with the accurate one: the label failed." in text
    assert "γ =" not in text


def test_a_trajectory_that_failed_at_once_still_makes_a_report(store):
    dynamics = measured()[2]
    nothing = {"times": dynamics.nve.times[:0], "total_energies": dynamics.nve.total_energies[:0]}
    nve = replace(
        dynamics.nve,
        **nothing,
        temperatures=dynamics.nve.temperatures[:0],
        reason="the calculator failed: no SCF",
        drift=None,
        fluctuation=None,
        mean_temperature=None,
    )
    certificate = make_certificate(dynamics=replace(dynamics, nve=nve, nvt=(replace(nve, ensemble="nvt"),)))
    assert "the calculator failed: no SCF" in Page(write(store, certificate)).text


def test_unweighted_when_no_weighting_did_best_is_said(store):
    weights = replace(make_card().weights, gamma=None, values=(1.0,) * 50, effective_sample_size=50.0)
    assert "∞ (equal weights were best)" in Page(write(store, card=make_card(weights=weights))).text


def test_no_table_makes_the_page_wider_than_a_phone(store):
    text = write(store, full_certificate())
    assert text.count("<table>") == text.count('<div class="scroll" tabindex="0"><table>') > 5


def test_computing_times_have_one_unit(store):
    card = make_card(seconds={"pretrain": 400.0, "finetune": 20.0})
    text = Page(write(store, card=card)).text
    assert "Stage Hours pretrain 0.111 finetune 0.00556" in text
    costs = text[text.index("Labels and cost") : text.index("Use and provenance")]
    assert "Core-hours Labels per core-hour" in costs
    assert "seconds" not in costs


@pytest.mark.usefixtures("drawn")
def test_the_same_data_make_the_same_page(store):
    certificate = make_certificate()
    assert write(store, certificate) == write(store, certificate)


def test_a_model_that_needs_the_cheap_method_says_so_first_and_is_loaded_with_it(store):
    card = make_card(strategy="delta", adds_to="gfn1-xtb", parents={}, weights=None)
    text = Page(write(store, card=card)).text
    assert text.index("It needs gfn1-xtb at run time") < text.index("Accuracy")
    assert f'load_calculator(Store("{store.location("").rstrip("/")}"), "water", "0123456789abcdef"' in text
    assert "MACECalculator" not in text


def test_a_report_on_score_matching_speaks_of_configurations_and_not_of_cheap_labels(store):
    frames = replace(make_card().frames, cheap=0, configurations=1200)
    card = make_card(strategy="score-matching", cheap=None, frames=frames, parents={}, weights=None)
    text = Page(write(store, card=card)).text
    assert "pretrained by score matching (sliced) on 1,200 configurations without labels" in text
    assert "cheap labels" not in text
    assert "Bias of the cheap level" not in text


def test_a_report_on_corrected_labels_shows_what_the_correction_is_worth(store):
    correction = CorrectionSummary(labels=8, raw_force_mae=0.179, valid_force_mae=0.0123)
    card = make_card(strategy="corrected", correction=correction, parents={}, weights=None)
    text = Page(write(store, card=card)).text
    assert "trained on 8 frames with both labels. Force error on the held-out frames: 12.3 meV/Å" in text
    assert "without correction: 179 meV/Å." in text


def test_a_correction_of_energies_alone_claims_nothing_about_forces(store):
    correction = CorrectionSummary(labels=8, raw_force_mae=None, valid_force_mae=None)
    card = make_card(strategy="corrected", correction=correction, parents={}, weights=None)
    text = Page(write(store, card=card)).text
    assert "trained on 8 frames with both labels." in text
    assert "Force error on the held-out frames:" not in text


def test_a_collapse_of_the_weights_is_on_the_page(store):
    values = [50.0] + [0.0] * 49
    weights = replace(make_card().weights, values=values, effective_sample_size=1.0)
    text = Page(write(store, card=make_card(weights=weights))).text
    assert "Warning. The weights collapse: 50 cheap frames count like 1 of equal weight" in text


def test_the_teacher_is_judged_on_the_test_frames_of_the_certificate_where_it_is_the_scratch_model():
    certificate = make_certificate()
    predicted = teacher_forces(certificate, make_card(), make_scratch_card())
    errors = certificate.scratch_errors
    assert predicted == dict(zip(errors.frame_ids, errors.predicted_forces, strict=True))
    committee = make_card(parents={"teacher": "fedcba9876543210", "teacher-2": "second"})
    assert teacher_forces(certificate, committee, make_scratch_card()) is None
    assert teacher_forces(certificate, make_card(), None) is None


def test_a_level_is_summarised_from_its_attempts(store):
    summary = summarise_level(store, "water", ACCURATE)
    assert (summary.frames, summary.ok, summary.failed, summary.rejected) == (12, 10, 2, 0)
    assert summary.programs == ("tblite 0.8.0",)
    assert summary.reasons == ((f"failed: {HOSTILE}", 2),)
    assert summarise_level(store, "water", CHEAP).reasons == ()


def test_the_bias_is_that_of_the_frames_with_both_labels(store):
    bias = collect_bias(store, "water", make_card())
    cheap, accurate = store.labels("water", CHEAP), store.labels("water", ACCURATE)
    assert sorted(map(tuple, np.ravel(bias.cheap).reshape(10, 9))) == sorted(
        tuple(cheap[i].forces.ravel()) for i in accurate
    )


def test_all_evidence_of_a_certificate_is_on_the_page(store):
    page = Page(write(store, full_certificate()))
    headings = (
        "Force components in the model's own MD",
        "Deviation of each frequency",
        "Torsions",
        "Distributions in MD",
    )
    assert all(heading in page.text for heading in headings)
    assert "12 independent frames of the model's own MD" in page.text
    assert "no infrared spectrum" in page.text
    assert "surviving replicas, with 95% intervals" in page.text
    # Those of a page without evidence; frequencies, torsion, bonds, angles, spectrum.
    assert sum(tag == "img" for tag, _ in page.tags) == 12 + 5
    without = Page(write(store)).text
    assert not any(heading in without for heading in (*headings[:2], "Power spectrum"))


def test_own_md_that_nobody_could_label_is_said(store):
    certificate = make_certificate(evidence=Evidence(on_policy=OnPolicy(None, (), 6, 6)))
    assert "6 labels failed or were rejected" in Page(write(store, certificate)).text


def test_templates_are_part_of_the_package():
    from importlib.resources import files

    names = {path.name for path in files("asteroid.report").iterdir()}
    assert {"base.html.j2", "report.html.j2", "index.html.j2"} <= names


def test_a_certificate_in_the_store_is_strict_json(store):
    write_certificate(store, make_certificate())
    text = store.read(f"{FOLDER}/certificate.json").decode()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.fixture
def energy_only_store(store, tmp_path) -> Store:
    """The same frames and costs, the accurate labels without forces."""
    bare = Store(tmp_path / "bare")
    bare.add_frames("water", store.frames("water"), batch="batch")
    for level in (CHEAP, ACCURATE):
        bare.select("water", level, store.selected("water", level), name="all", criterion="all")
        labels = list(store.labels("water", level).values())
        bare.add_attempts("water", level, labels if level == CHEAP else [replace(a, forces=None) for a in labels])
    records.write(bare, "models/water/fedcba9876543210/card.json", make_scratch_card())
    return bare


def test_a_report_without_accurate_forces_is_about_energies_and_says_so(energy_only_store):
    history = tuple(replace(line, valid_force_mae=None) for line in make_scratch_card().history)
    scratch = make_scratch_card(valid_force_mae=None, history=history)
    html = write(energy_only_store, make_energy_only_certificate(), make_energy_only_card(), scratch)
    text = Page(html).text
    assert "forces were not checked, because the accurate labels are energies alone" in text
    assert text.count("not checked") >= 3
    assert "gfn2-xtb (energies only)" in text
    assert "all of them are energies only" in text
    assert "accurate labels (energies only) for training" in text
    assert "Energy MAE of the trial (meV/atom)" in text
    assert "Force components" not in text
    assert "Harmonic frequencies of the model at its minimum" in text
    assert "was not compared with the accurate one: the accurate labels are energies alone." in text
    link = Page(Path(energy_only_store.location("reports/index.html")).read_text()).text
    assert "forces not checked" in link


def test_labels_without_forces_are_counted_and_have_no_bias_of_forces(energy_only_store):
    assert summarise_level(energy_only_store, "water", ACCURATE).energy_only == 10
    assert summarise_level(energy_only_store, "water", CHEAP).energy_only == 0
    assert collect_bias(energy_only_store, "water", make_energy_only_card()) is None
