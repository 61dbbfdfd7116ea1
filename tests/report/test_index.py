"""The index of all reports."""

from dataclasses import replace
from pathlib import Path

import pytest

from asteroid.configuration import Frame, Origin
from asteroid.report.index import write_index
from asteroid.report.next_step import NextStep
from asteroid.store import records
from tests.report.comparisons import make_comparison
from tests.report.conftest import ACCURATE, CHEAP
from tests.report.pages import FOLDER, Page, write, write_certificate
from tests.validation.certificates import (
    displaced,
    make_certificate,
    measured,
)


def test_the_index_lists_every_report_with_its_result(store):
    write(store)
    write_certificate(store, make_certificate(loose=False, with_scratch=False))
    page = Page(Path(write_index(store)).read_text())
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == [f"{FOLDER.removeprefix('reports/')}/report.html"]
    assert (Path(store.location("reports")) / links[0]).is_file()
    assert " failed " in page.text


def cells(page: Page) -> list[str]:
    """Values by which the tables of an index are sorted."""
    return [attributes["data-value"] for tag, attributes in page.tags if tag == "td" and "data-value" in attributes]


def test_the_index_has_errors_gain_and_price_of_each_model_and_the_comparisons(store):
    write(store)
    store.write_json("reports/water/comparison-abc/comparison.json", make_comparison())
    store.write("reports/water/comparison-abc/comparison.html", b"<html></html>")
    page = Page(Path(write_index(store)).read_text())
    errors, answers = measured()[0], store.read_json(f"{FOLDER}/answers.json")
    state, force, energy, gain, hours = cells(page)[:5]
    assert state == "passed"
    assert (float(force), float(energy)) == (errors.force_mae.value, errors.energy_mae.value)
    assert f"{float(gain):.3g} ×" == answers["bought"]["figure"]
    assert f"{float(hours):.3g} core-hours" == answers["cost"]["figure"]
    assert "water/comparison-abc/comparison.html" in [a["href"] for tag, a in page.tags if tag == "a"]


@pytest.mark.parametrize(("figure", "hours"), [("720 core-seconds", 0.2), ("1,234 core-hours", 1234.0)])
def test_the_price_in_an_older_answer_is_read_from_its_words(store, figure, hours):
    write(store)
    answers = store.read_json(f"{FOLDER}/answers.json")
    del answers["core_seconds"]
    answers["cost"]["figure"] = figure
    store.write_json(f"{FOLDER}/answers.json", answers)
    assert float(cells(Page(Path(write_index(store)).read_text()))[4]) == pytest.approx(hours)


def test_a_report_that_was_written_before_answers_were_kept_stays_in_the_index(store):
    write(store)
    store.remove(f"{FOLDER}/answers.json")
    page = Page(Path(write_index(store)).read_text())
    assert cells(page)[1:5] == [*cells(page)[1:4], ""]
    assert float(cells(page)[1]) == measured()[0].force_mae.value


def test_the_index_says_what_waits(store):
    write(store)
    records.write(store, f"{FOLDER}/next-step.json", NextStep("Next: 20 more accurate labels"))
    frames = [Frame(c, Origin("md", seed=0), "group-0", "train") for c in displaced(3, seed=5)]
    for name, level in (("water", CHEAP), ("peroxide", ACCURATE)):
        store.add_frames(name, frames, batch="more")
        store.select(name, level, [f.frame_id for f in frames], name="more", criterion="all")
    text = Page(Path(write_index(store)).read_text()).text
    assert "1 of 2 molecules with a model, 1 certified" in text
    assert "peroxide no model yet – – – – 3 labels at gfn2-xtb" in text
    assert "20 more accurate labels; 5 labels at gfn1-xtb" in text


def test_two_models_of_a_molecule_stand_side_by_side(store):
    write(store)
    assert "side by side" not in Page(Path(write_index(store)).read_text()).text
    other = replace(make_certificate(loose=False), model_id="other", created="2020-01-01T00:00:00+00:00")
    records.write(store, "reports/water/other-1/certificate.json", other, nulls=True)
    store.write("reports/water/other-1/report.html", b"<html></html>")
    page = Page(Path(write_index(store)).read_text())
    table = page.text[page.text.index("water: models side by side") :]
    assert "Certificate passed failed Level gfn2-xtb gfn2-xtb" in table
    first, second = (next(line for line in c.lines if line.name == "Force MAE") for c in (make_certificate(), other))
    row = table[table.index("Force MAE, meV/Å") : table.index("Energy MAE, meV/atom")]
    shown = [f"{1000 * line.value:.3g} {line.state}" for line in (first, second)]
    assert [row.index(value) for value in shown] == sorted(row.index(value) for value in shown)
    assert f"≤ {1000 * second.threshold:g}" in row


def test_a_certificate_without_a_report_is_not_in_the_index(store):
    write_certificate(store, make_certificate())
    assert "0123456789abcdef" not in Path(write_index(store)).read_text()
