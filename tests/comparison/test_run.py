"""Comparisons of tiny models, whose cells run in this process; :mod:`tests.comparison.test_cli` starts real ones."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asteroid.comparison import run
from asteroid.comparison.cell import run_cell
from asteroid.comparison.evaluate import measure, predict_variant
from asteroid.comparison.plan import Cell, make_plan
from asteroid.comparison.result import Result
from asteroid.configuration import Origin
from asteroid.errors import AsteroidError
from asteroid.store import Store
from asteroid.store.models import read_card
from asteroid.training.run import load_calculator
from asteroid.validation.errors import measure_errors
from tests.comparison.conftest import make_store, settings_with
from tests.training.conftest import ACCURATE, Labels


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """Cells that were started, in this process."""
    cells: list[Cell] = []

    def call(function: Callable[..., Any], *arguments: Any, preload: Any, **options: Any) -> Any:
        cells.append(next(a for a in arguments if isinstance(a, Cell)))
        return function(*arguments, **options)

    monkeypatch.setattr(run, "call_in_process", call)
    return cells


@pytest.fixture(scope="module")
def store(water: Labels, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Shared by tests that do not mind what others have trained."""
    return make_store(tmp_path_factory.mktemp("run") / "store", water)


def model_count(store: Store) -> int:
    return sum(name != "index" for name in store.names("models/water"))


@pytest.mark.long
def test_a_comparison_that_was_interrupted_does_only_what_is_missing(water_store: Store, started: list[Cell]) -> None:
    plan = make_plan(water_store, settings_with(variants=("scratch", "unweighted"), seeds=(0, 1)))

    def interrupt(done: int, total: int, note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run_comparison(water_store, plan, workers=1, on_progress=interrupt)
    kept = set(water_store.names("comparisons/water"))
    # The third may have been under way; it was stopped, and the fourth was never begun.
    assert len(kept) == 2
    assert len(started) in (2, 3)
    assert model_count(water_store) == 2
    started.clear()
    outcome = run.run_comparison(water_store, plan, workers=1)
    assert [(cell.variant, cell.seed) for cell in started] == [("unweighted", 0), ("unweighted", 1)]
    assert model_count(water_store) == 4
    assert kept < set(water_store.names("comparisons/water"))
    started.clear()
    again = run.run_comparison(water_store, plan, workers=1)
    assert started == []
    assert again.data["results"] == outcome.data["results"]
    more = make_plan(water_store, settings_with(variants=("scratch", "unweighted"), seeds=(0, 1, 2)))
    run.run_comparison(water_store, more, workers=1)
    assert [(cell.variant, cell.seed) for cell in started] == [("scratch", 2), ("unweighted", 2)]


def test_weighted_takes_the_scratch_model_of_its_seed_for_its_teacher(store: Store, started: list[Cell]) -> None:
    plan = make_plan(store, settings_with(variants=("weighted", "scratch"), seeds=(5,)))
    before = model_count(store)
    data = run.run_comparison(store, plan, workers=1).data
    assert model_count(store) == before + 2
    weighted, scratch = data["results"]
    assert (weighted["arm"], scratch["arm"]) == ("weighted", "scratch"), "in the order in which they were asked for"
    card = read_card(store, "water", weighted["model_id"])
    assert card.parents == {"teacher": scratch["model_id"]}
    assert card.seed == 5
    assert weighted["training_core_hours"] > scratch["training_core_hours"], "a teacher is part of the cost"
    found = data["diagnostics"]["10"]
    assert found["teacher"]["unseen_frames"] == 10, "the test frames"
    assert found["teacher"]["unseen_force_mae"] == pytest.approx(scratch["force_mae"])


def test_costs_are_those_of_the_labels_that_a_model_learnt_from(store: Store, started: list[Cell]) -> None:
    plan = make_plan(
        store, settings_with(variants=("scratch", "unweighted", "delta", "score-matching"), cheap_frames=20)
    )
    rows = {row["arm"]: row for row in run.run_comparison(store, plan, workers=1).data["results"]}
    # 0.01 core-hours an accurate label, 0.001 a cheap one.
    assert rows["scratch"]["label_core_hours"] == pytest.approx(0.1)
    assert rows["unweighted"]["label_core_hours"] == pytest.approx(0.1 + 20 * 0.001)
    assert rows["delta"]["label_core_hours"] == pytest.approx(0.1 + 10 * 0.001)
    assert rows["score-matching"]["label_core_hours"] == pytest.approx(0.1), "it reads no cheap label"
    assert [rows[variant]["cheap_labels"] for variant in rows] == [0, 20, 10, 0]
    for row in rows.values():
        assert row["core_hours"] == pytest.approx(row["label_core_hours"] + row["training_core_hours"])
        assert row["needs"] == ("gfn1-xtb" if row["arm"] == "delta" else None)


def test_a_strategy_that_the_data_does_not_allow_is_a_result_with_its_reason(
    water_store: Store, started: list[Cell]
) -> None:
    frames = [dataclasses.replace(f, origin=Origin("import")) for f in water_store.frames("water")]
    cold = Store(f"{water_store.url}-cold")
    cold.add_frames("water", frames, batch="all")
    for level in water_store.levels("water"):
        cold.add_attempts("water", level, water_store.attempts("water", level))
    plan = make_plan(cold, settings_with(variants=("score-matching", "scratch")))
    outcome = run.run_comparison(cold, plan, workers=1)
    failed, scratch = outcome.data["results"]
    assert "drawn at a known temperature" in failed["reason"]
    assert (failed["force_mae"], failed["model_id"], scratch["reason"], outcome.broken) == (None, None, None, 0)
    started.clear()
    run.run_comparison(cold, plan, workers=1)
    assert started == [], "it would fail again"


def test_a_cell_that_broke_leaves_the_others_and_is_tried_again(
    store: Store, started: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(store, settings_with(variants=("scratch", "unweighted"), seeds=(8,)))
    call = run.call_in_process

    def out_of_memory(function: Any, *arguments: Any, **options: Any) -> Any:
        if any(isinstance(a, Cell) and a.variant == "scratch" for a in arguments):
            raise AsteroidError("the process was killed by SIGKILL (out of memory?)")
        return call(function, *arguments, **options)

    monkeypatch.setattr(run, "call_in_process", out_of_memory)
    outcome = run.run_comparison(store, plan, workers=1)
    assert outcome.broken == 1
    assert "SIGKILL" in outcome.data["results"][0]["reason"]
    assert outcome.data["results"][1]["force_mae"] > 0
    monkeypatch.setattr(run, "call_in_process", call)
    assert run.run_comparison(store, plan, workers=1).data["results"][0]["reason"] is None


def result_of(store: Store, variant: str) -> tuple[dict[str, Any], Result, list[Any]]:
    """The card and the result of a variant, and the test frames in the plan's order."""
    plan = make_plan(store, settings_with(variants=(variant,)))
    ((cell,), (path,)) = plan.cells, run.result_paths(store, plan)
    found = run_cell(store.url, plan.settings, cell, plan.test, path, on_progress=lambda *_: None)
    assert found.model_id is not None
    return read_card(store, "water", found.model_id), found, store.frames("water", ids=plan.test)


def test_errors_are_those_of_the_certificate(store: Store) -> None:
    card, found, frames = result_of(store, "unweighted")
    energies, forces = predict_variant(store, card, frames)
    labels = store.labels("water", ACCURATE)
    reference = measure_errors(
        [frame.frame_id for frame in frames],
        reference_energies=[labels[frame.frame_id].energy for frame in frames],
        predicted_energies=energies,
        reference_forces=[labels[frame.frame_id].forces for frame in frames],
        predicted_forces=forces,
    )
    assert reference.force_mae is not None
    assert reference.force_rmse is not None
    assert found.force_mae == pytest.approx(reference.force_mae.value)
    assert found.force_rmse == pytest.approx(reference.force_rmse.value)
    assert found.energy_mae == pytest.approx(reference.total_energy_mae.value)
    # One composition: the error of the total energy is three times that of an atom.
    assert found.energy_rmse == pytest.approx(3 * reference.energy_rmse.value)
    for groups, mae in ((found.force_groups, found.force_mae), (found.energy_groups, found.energy_mae)):
        assert len(groups) == 5
        assert sum(total for total, _ in groups) / sum(count for _, count in groups) == pytest.approx(mae)


def test_delta_is_judged_together_with_the_cheap_label_as_its_calculator_computes_it(store: Store) -> None:
    card, _, frames = result_of(store, "delta")
    energies, forces = predict_variant(store, card, frames[:2])
    calculator = load_calculator(store, "water", card.model_id, device="cpu")
    for frame, energy, force in zip(frames[:2], energies, forces, strict=True):
        atoms = frame.configuration.to_atoms()
        atoms.calc = calculator
        # Two runs of GFN1: the SCF's convergence.
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-5)
        np.testing.assert_allclose(atoms.get_forces(), force, atol=1e-3)


def test_accurate_energies_alone_are_judged_by_energies(water: Labels, tmp_path: Path, started: list[Cell]) -> None:
    bare = [dataclasses.replace(frame, forces=None) for frame in water.accurate]
    store = make_store(tmp_path / "store", Labels(water.cheap, bare))
    plan = make_plan(store, settings_with(variants=("scratch", "delta")))
    data = run.run_comparison(store, plan, workers=1).data
    assert data["quantity"] == "energy_mae"
    for row in data["results"]:
        assert row["force_mae"] is row["force_rmse"] is None
        assert row["energy_mae"] > 0


def test_force_errors_are_of_the_test_frames_that_have_forces(store: Store, water: Labels, tmp_path: Path) -> None:
    card, whole, frames = result_of(store, "scratch")
    bare = {frame.frame_id for frame in frames[:4]}
    labels = [dataclasses.replace(f, forces=None) if f.frame_id in bare else f for f in water.accurate]
    mixed = make_store(tmp_path / "store", Labels(water.cheap, labels))
    for name in ("model.model", "card.json"):
        path = f"models/water/{card.model_id}/{name}"
        mixed.write(path, store.read(path))
    found = measure(mixed, card, frames)
    assert found.force_mae == pytest.approx(measure(store, card, frames[4:]).force_mae)
    assert found.energy_mae == pytest.approx(whole.energy_mae)
    assert sum(count for _, count in found.force_groups) == 6 * 9
