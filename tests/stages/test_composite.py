"""Composite levels in the stages: each part is labelled once, whoever asks for it."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asteroid import stages
from asteroid.engines import make_labeller
from asteroid.engines.pyscf.hessian import has_analytic_hessian
from asteroid.levels import LevelOfTheory
from asteroid.manifest import BudgetSettings, MoleculeSettings, SamplingSettings, TrainingSettings
from asteroid.processes import single_thread_environment
from asteroid.stages.atoms import missing_atoms
from asteroid.store import Store
from asteroid.store.rows import Attempt, core_seconds
from asteroid.training.baseline import read_baseline

single_thread_environment()

SUM = LevelOfTheory.parse("hf/3-21g + mp2/sto-3g - hf/sto-3g")
BASIS = LevelOfTheory.parse("hf/3-21g")
WATER = MoleculeSettings(
    name="water",
    smiles="O",
    accurate=SUM,
    sampling=SamplingSettings(frames=30, temperatures=(300.0,), methods=("normal-modes",), frames_per_group=2),
    budget=BudgetSettings(accurate=5, test=2, ladder=9),
    training=TrainingSettings(ladder=(str(BASIS),)),
)


class Killed(Exception):
    """The run ends here."""


def killed_after(labels: int) -> Callable[[str, int, int], None]:
    def progress(note: str, done: int, total: int) -> None:
        if done >= labels and note == "mp2/sto-3g":
            raise Killed

    return progress


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Water, labelled at all levels; the run was killed once between two parts and once within one."""
    store = Store(tmp_path_factory.mktemp("store"))
    stages.sample(store, WATER, workers=1)
    stages.select(store, WATER)
    stages.label(store, WATER, WATER.cheap, workers=1)
    for labels in (0, 3):
        with pytest.raises(Killed):
            stages.label(store, WATER, SUM, workers=1, on_progress=killed_after(labels))
        assert stages.lacks_labels(store, WATER, SUM)
    stages.label(store, WATER, SUM, workers=1)
    assert not stages.lacks_labels(store, WATER, SUM)
    stages.select(store, WATER)
    stages.label(store, WATER, BASIS, workers=1)
    return store


def test_no_frame_is_labelled_twice(labelled: Store) -> None:
    chosen = labelled.selected("water", SUM)
    assert len(chosen) == 7
    tried = {level: labelled.attempts("water", level)["frame_id"].to_pylist() for level in (*SUM.computed, BASIS)}
    assert all(len(ids) == len(set(ids)) for ids in tried.values())
    for level in SUM.computed:
        if level != BASIS:
            assert set(tried[level]) == set(chosen)
    # The level in between has the training frames of the accurate level, labelled for that already, and others.
    between = labelled.selected("water", BASIS)
    assert len(between) == 9
    assert set(tried[BASIS]) == set(chosen) | set(between)
    assert [labelled.pending("water", level) for level in (BASIS, SUM)] == [[], []]


def test_labels_are_those_of_the_sum_computed_at_once(labelled: Store) -> None:
    labels = labelled.labels("water", SUM)
    assert set(labelled.selected("water", SUM)) <= set(labels)
    (frame,) = labelled.frames("water", ids=labelled.selected("water", SUM)[:1])
    expected = make_labeller(SUM).compute(frame.configuration)
    found = labels[frame.frame_id]
    assert found.energy == pytest.approx(expected.energy, abs=1e-6)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-5)  # type: ignore[arg-type]


def test_the_last_correction_learns_the_difference_of_the_other_parts(labelled: Store) -> None:
    """The level in between is a part, so it cancels from the difference."""
    accurate, between = labelled.labels("water", SUM), labelled.labels("water", BASIS)
    others = [labelled.labels("water", LevelOfTheory.parse(name)) for name in ("mp2/sto-3g", "hf/sto-3g")]
    for i in labelled.selected("water", SUM):
        correlation, reference = (other[i].energy for other in others)
        assert accurate[i].energy - between[i].energy == pytest.approx(correlation - reference)  # type: ignore[operator]


def test_free_atoms_are_computed_at_each_part_and_summed(labelled: Store) -> None:
    assert missing_atoms(labelled, "water", SUM) == []
    baseline = read_baseline(labelled, SUM, [1, 8])
    assert str(SUM) in baseline.source
    parts = {str(part.level): (part.weight, labelled.atoms(part.level)) for part in SUM.parts}
    oxygen = sum(float(weight) * atoms["O"].energy for weight, atoms in parts.values())
    assert baseline.atoms[8] == pytest.approx(oxygen)
    # In STO-3G a hydrogen atom has no correlation energy, so that these two cancel.
    assert baseline.atoms[1] == pytest.approx(parts["hf/3-21g"][1]["H"].energy)


def test_a_label_costs_what_its_parts_cost(labelled: Store) -> None:
    each = [stages.expected_label_seconds(labelled, WATER, part) for part in SUM.computed]
    assert stages.expected_label_seconds(labelled, WATER, SUM) == pytest.approx(sum(each))
    spent = sum(float(core_seconds(labelled.attempts("water", level)).sum()) for level in (*SUM.computed, WATER.cheap))
    once = labelled.attempts_once("water", [WATER.cheap, BASIS, SUM])
    assert sum(float(core_seconds(table).sum()) for table in once.values()) == pytest.approx(spent)


def test_a_frame_that_failed_at_a_part_is_replaced_by_another(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stages.sample(store, WATER, workers=1)
    stages.select(store, WATER)
    first, *rest = store.selected("water", SUM)
    failed = Attempt(frame_id=first, status="failed", reason="SCF not converged", time=dt.datetime.now(dt.UTC))
    store.add_attempts("water", BASIS, [failed])
    assert store.pending("water", SUM) == rest
    stages.select(store, WATER)
    (other,) = set(store.pending("water", SUM)) - set(rest)
    split = {frame.frame_id: frame.split for frame in store.frames("water")}
    assert split[other] == split[first]


def test_frequencies_are_those_of_displaced_labels() -> None:
    assert has_analytic_hessian(BASIS)
    assert not has_analytic_hessian(SUM)


def test_outliers_are_withdrawn_at_the_parts(labelled: Store) -> None:
    assert stages.review_labels(labelled, WATER, SUM) == []
