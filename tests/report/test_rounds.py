"""Rounds as the loop records them, on the page."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from asteroid.acquisition.calibration import calibrate
from asteroid.acquisition.stopping import RoundSummary, decide
from asteroid.report.rounds import collect_rounds, rounds_context
from asteroid.report.write import write_report
from asteroid.settings import AcquisitionSettings
from asteroid.store import records
from asteroid.store.round_records import (
    ErrorInterval,
    ExplorationSummary,
    ExploringReplica,
    LabelChoice,
    Option,
    PickedFrame,
    RoundCost,
    RoundRecord,
)
from tests.report.conftest import HOSTILE
from tests.report.pages import FOLDER, Page
from tests.validation.certificates import make_card, make_certificate, make_scratch_card

MODELS = ("aaaa", "bbbb", "0123456789abcdef")


def make_rounds() -> list[RoundRecord]:
    """Three rounds: 10, 16 and 22 labels, the error falling with the square root of their number."""
    rng = np.random.default_rng(0)
    summaries: list[RoundSummary] = []
    found: list[RoundRecord] = []
    for number, model_id in enumerate(MODELS):
        labels, mae = 10 + 6 * number, 0.2 / (10 + 6 * number) ** 0.5
        held_out = ErrorInterval(mae, 0.8 * mae, 1.3 * mae)
        cost = RoundCost(500.0, 100.0, 40.0 if number else 0.0)
        summaries.append(RoundSummary(labels=labels, **asdict(held_out), core_seconds=cost.total))
        uncertainty = rng.uniform(0.01, 0.1, size=12)
        calibration = calibrate(uncertainty, uncertainty * rng.uniform(0.5, 1.5, size=12))
        picked = tuple(
            PickedFrame(
                frame_id=f"frame-{i}",
                uncertainty=0.05,
                split="valid" if i == 5 else "train",
                bound=0.1 + 0.01 * i,
                error=0.02 * (1 + i),
                source="exploration" if i % 3 else "sampled",
                temperature=600.0,
            )
            for i in range(6)
        )
        explored = ExplorationSummary(
            replicas=(ExploringReplica(600.0, 1.0, None), ExploringReplica(900.0, 0.25, HOSTILE)),
            frames=40,
            dropped={"fused atoms": 2},
        )
        found.append(
            RoundRecord(
                round=number,
                model_id=model_id,
                models=(model_id, "scratch"),
                criterion="committee+diverse",
                labels=labels,
                accurate_labels=labels,
                held_out=held_out,
                curve=(*(found[-1].curve if found else ()), held_out),
                calibration=calibration if number else None,
                explored=explored if number else None,
                picked=picked if number else (),
                decision=decide(summaries, AcquisitionSettings(rounds=3, batch=6)),
                fresh_error=ErrorInterval(2 * mae, mae, 3 * mae) if number else None,
                core_seconds=cost,
            )
        )
    return found


@pytest.fixture
def looped(store):
    for record in make_rounds():
        records.write(store, f"acquisition/water/cafe/round-{record.round:03d}.json", record)
    return store


def test_the_rounds_of_a_model_are_those_up_to_its_own(looped):
    assert [found.round for found in collect_rounds(looped, "water", "water", MODELS[2])] == [0, 1, 2]
    assert [found.round for found in collect_rounds(looped, "water", "water", MODELS[1])] == [0, 1]
    assert collect_rounds(looped, "water", "water", "another model") == []
    assert collect_rounds(looped, "methanol", "methanol", MODELS[0]) == []


def test_a_page_tells_what_each_round_picked_why_and_what_came_of_it(looped):
    content = make_certificate()
    html = Path(write_report(looped, "water", content, make_card(), make_scratch_card(), folder=FOLDER)).read_text()
    text = Page(html).text
    assert HOSTILE not in html
    assert "3 rounds of accurate labels, picked with the previous model by the criterion committee+diverse" in text
    assert "4 from exploration, 2 from sampled" in text
    assert "error bound 100 to 140 meV/Å" in text
    assert f"2 trajectories, 1.25 ps; stopped: 1 × {HOSTILE}; 40 frames kept, dropped: 2 fused atoms" in text
    assert "All 3 rounds are done" in text
    # Bounds of 0.10 to 0.15, errors of 0.02 to 0.12 eV/Å: all hold.
    assert "the bound held for 12 of 12 picked frames" in text
    # After 22 labels 0.2/√22 eV/Å, and twice that on the fresh labels before.
    assert "42.6 (34.1 to 55.4)" in text
    assert "85.3" in text
    # 3 × 600 s of labels and training, 2 × 40 s of exploration.
    assert "training in 3 rounds" in text


@pytest.mark.usefixtures("drawn")
def test_every_figure_of_the_rounds_is_drawn(looped):
    figures = rounds_context(collect_rounds(looped, "water", "water", MODELS[2])).figures
    assert set(figures) == {"rounds_labels", "rounds_hours", "rounds_cost", "rounds_picked", "calibration"}
    assert all(figure.startswith(b"\x89PNG") for figure in figures.values())


def test_the_calibration_shown_says_for_how_many_frames_it_holds(looped):
    context = rounds_context(collect_rounds(looped, "water", "water", MODELS[2]))
    assert context.calibration.guaranteed == pytest.approx(0.9)
    assert len(context.calibration.error) == 12


def test_a_first_round_alone_has_neither_exploration_nor_calibration():
    context = rounds_context(make_rounds()[:1])
    assert set(context.figures) == {"rounds_labels", "rounds_hours", "rounds_cost"}
    assert context.rows[0].picked == "nothing"
    assert context.calibration is None


def test_a_model_of_one_round_has_no_section_of_rounds(store):
    assert rounds_context([]) is None
    content = make_certificate()
    page = Path(write_report(store, "water", content, make_card(), make_scratch_card(), folder=FOLDER)).read_text()
    assert 'id="rounds"' not in page


def test_a_round_that_a_failed_certificate_ordered_and_one_that_bought_energies_say_so() -> None:
    first, second, third = make_rounds()
    options = (Option("forces", 1.0, 0.1, 1.0), Option("energies", 1.0, 0.1, 2.0))
    second = replace(second, bought=LabelChoice("energies", "measured on 10 labels", options))
    context = rounds_context([first, second, replace(third, because=("Error of torsion energies",))])
    assert context is not None
    _, bought, ordered = context.rows
    assert bought.why.startswith("energies alone: measured on 10 labels; error bound")
    assert ordered.why.startswith("the previous certificate failed: Error of torsion energies; ")
