"""What Prefect's page shows of a finished molecule, without a server."""

import base64
import re
from dataclasses import asdict
from pathlib import Path

from asteroid.manifest import MoleculeSettings
from asteroid.report.answers import QUESTIONS
from asteroid.report.write import write_report
from asteroid.store import Store
from flows.markdown import LONGEST_LIST, LONGEST_TABLE, campaign_markdown, certificate_markdown
from tests.report.conftest import ACCURATE, CHEAP, fill
from tests.validation.certificates import make_card, make_certificate, make_scratch_card

FOLDER = "reports/water/0123456789abcdef-cafe"


def test_the_certificate_in_the_ui_gives_the_three_answers_of_the_report_with_their_pictures(tmp_path: Path) -> None:
    store = fill(Store(tmp_path / "store"))
    certificate = make_certificate(loose=False)
    report = write_report(store, "water", certificate, make_card(), make_scratch_card(), folder=FOLDER)
    outcome = {
        "passed": False,
        "state": "failed",
        "force_mae": 0.1,
        "scratch_force_mae": 0.2,
        "energy_mae": 0.001,
        "scratch_energy_mae": None,
        "lines": [asdict(line) for line in certificate.lines],
        "model": "model.model",
        "report": report,
        "report_path": f"{FOLDER}/report.html",
    }
    molecule = MoleculeSettings(name="water", smiles="O", cheap=CHEAP, accurate=ACCURATE)
    text = certificate_markdown(store, molecule, outcome)
    assert text.startswith("# water: NOT certified")
    assert "| force MAE | 100 meV/Å | 200 meV/Å |" in text
    assert "| energy MAE | 1 meV/atom | not measured |" in text
    places = [text.index(heading) for heading in ("## Accuracy", "## Cost", "## Gain", "| requirement")]
    assert places == sorted(places)
    answers = store.read_json(f"{FOLDER}/answers.json")
    for answer in (answers[name] for name in QUESTIONS):
        assert answer["figure"] in text
        assert all(sentence in text for sentence in answer["sentences"])
    pictures = [base64.b64decode(found) for found in re.findall(r"base64,([A-Za-z0-9+/=]+)\)", text)]
    assert pictures == [store.read(f"{FOLDER}/{name}") for name in ("how-good.png", "cost.png", "bought.png")]


def test_the_page_of_a_campaign_says_what_is_to_do_done_and_under_way(tmp_path: Path) -> None:
    store = fill(Store(tmp_path / "store"))
    status = [{**row, "reasons": []} for row in store.status()]
    page = campaign_markdown(status, ["labels water x", "labels water x", "training water"], price=(1.5, None))
    assert "Under way: labels water x × 2, training water." in page
    assert "1.50 core-hours for labels." in page
    assert "1.50 core-hours for labels, quoted at most 2.50." in campaign_markdown([], [], price=(1.5, 2.5))
    rows = [line for line in page.splitlines() if line.startswith("| water |")]
    assert len(rows) == len(store.levels("water"))
    for row, line in zip(store.status(), rows, strict=True):
        assert f"| {row['to_do']} |" in line
        assert f"| {row['ok']} |" in line
    assert "failed or were rejected:" not in page


def test_the_page_of_a_campaign_says_why_labels_failed(tmp_path: Path) -> None:
    (row, *_) = fill(Store(tmp_path / "store")).status()
    failed = {**row, "reasons": [("no convergence in … steps", 3), ("took longer than … s", 1)]}
    page = campaign_markdown([failed], [], price=(1.5, None))
    assert f"- 3 × water, {row['level']}: no convergence in … steps" in page
    assert f"- 1 × water, {row['level']}: took longer than … s" in page
    many = campaign_markdown([failed] * LONGEST_LIST, [], price=(1.5, None))
    assert many.count("\n- ") == LONGEST_LIST + 1
    assert "asteroid status --reasons" in many


def test_the_page_of_very_many_molecules_has_the_sums_of_each_level(tmp_path: Path) -> None:
    rows = fill(Store(tmp_path / "store")).status()
    many = [{**row, "molecule": f"m{number}", "reasons": []} for number in range(LONGEST_TABLE) for row in rows]
    lines = [line for line in campaign_markdown(many, [], price=(1.5, None)).splitlines() if " molecules |" in line]
    assert len(lines) == len(rows) > 1
    for row, line in zip(rows, lines, strict=True):
        assert line.startswith(f"| {LONGEST_TABLE} molecules | {row['level']} | {LONGEST_TABLE * row['to_do']} |")
        assert f"| {LONGEST_TABLE * row['ok']} |" in line
