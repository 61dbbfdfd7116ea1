"""What the stages promise between two runs of the same manifest."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from asteroid import stages
from asteroid.errors import InputError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import BudgetSettings, MoleculeSettings, SamplingSettings
from asteroid.store import Store

HF = LevelOfTheory.parse("hf/sto-3g")
SAMPLING = SamplingSettings(frames=20, temperatures=(300.0,), methods=("normal-modes",), frames_per_group=2)
WATER = MoleculeSettings(
    name="water", smiles="O", accurate=HF, sampling=SAMPLING, budget=BudgetSettings(accurate=5, test=2)
)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Water, sampled and labelled at both levels."""
    store = Store(tmp_path_factory.mktemp("store"))
    stages.sample(store, WATER, workers=1)
    stages.select(store, WATER)
    for level in (WATER.cheap, HF):
        stages.label(store, WATER, level, workers=1)
    return store


def test_a_name_belongs_to_one_molecule(labelled: Store) -> None:
    for other in (replace(WATER, charge=2), replace(WATER, smiles="OO"), replace(WATER, multiplicity=3)):
        with pytest.raises(InputError, match="another molecule of this name"):
            stages.sample(labelled, other, workers=1)
        with pytest.raises(InputError, match="another molecule of this name"):
            stages.lacks_frames(labelled, other)


def test_nothing_is_lacking_of_what_has_been_done(labelled: Store) -> None:
    assert not stages.lacks_frames(labelled, WATER)
    more = replace(WATER, sampling=SAMPLING.model_copy(update={"frames": 30}))
    assert stages.lacks_frames(labelled, more)
    assert not any(stages.lacks_labels(labelled, WATER, level) for level in (WATER.cheap, HF))
    # Selected frames have been tried, but with another accurate level its free atoms are missing, for the first shard.
    other = replace(WATER, accurate=LevelOfTheory.parse("hf/6-31g"))
    assert stages.lacks_labels(labelled, other, other.accurate)
    assert not stages.lacks_labels(labelled, other, other.accurate, shard=1, shards=2)


def test_a_finished_sampling_writes_nothing(labelled: Store, tmp_path: Path) -> None:
    mount = ["mount", "--bind", labelled.location(""), str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", tmp_path], check=True)
        assert stages.sample(Store(tmp_path), WATER, workers=1).batches == 0
        stages.select(Store(tmp_path), WATER)
        assert stages.label(Store(tmp_path), WATER, HF, workers=1).total == 0
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_missing_geometry_file_is_one_line(tmp_path: Path) -> None:
    molecule = MoleculeSettings(name="gone", geometry=tmp_path / "gone.xyz")
    with pytest.raises(InputError, match="cannot read"):
        stages.sample(Store(tmp_path / "store"), molecule, workers=1)


def test_held_out_frames_never_train(labelled: Store) -> None:
    frames, _, _ = stages.training_frames(labelled, WATER)
    split = {f.frame_id: f.split for f in labelled.frames("water")}
    assert {split[i] for i in (*frames.train, *frames.cheap)} == {"train"}
    assert {split[i] for i in frames.valid} == {"valid"}
    assert {split[i] for i in frames.test} == {"test"}
    assert (len(frames.train), len(frames.valid), len(frames.test)) == (4, 1, 2)


def test_a_larger_test_budget_asks_for_a_new_certificate(labelled: Store) -> None:
    models = stages.Models("final", "scratch")
    before = stages.report_folder(labelled, WATER, models)
    larger = replace(WATER, budget=BudgetSettings(accurate=5, test=3))
    assert stages.report_folder(labelled, larger, models) == before, "the label is not there yet"
    stages.select(labelled, larger)
    assert len(labelled.pending("water", HF)) == 1
    assert [stages.lacks_labels(labelled, larger, HF, shard=shard, shards=3) for shard in range(3)].count(True) == 1
    stages.label(labelled, larger, HF, workers=1)
    assert stages.report_folder(labelled, larger, models) != before
    assert stages.report_folder(labelled, WATER, models) == before, "the smaller budget is still what it was"


def test_an_expected_cost_is_measured_where_it_can_be(labelled: Store) -> None:
    measured = stages.expected_label_seconds(labelled, WATER, HF)
    assert 0 < measured < stages.expected_label_seconds(labelled, WATER, LevelOfTheory.parse("hf/cc-pvdz"))
