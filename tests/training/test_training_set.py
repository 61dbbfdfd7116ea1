"""A training set is what it says, keeps what it holds, and has the name of its content."""

from pathlib import Path

import pytest

from asteroid.data.training_set import TrainingFrames, TrainingSet, read_training_set, write_training_set
from asteroid.store import Store

from .conftest import ACCURATE, CHEAP, Labels, fill


@pytest.fixture
def store(water: Labels, tmp_path: Path) -> tuple[Store, list[str]]:
    store = Store(tmp_path)
    return store, fill(store, water)


def make(ids: list[str], **changes: object) -> TrainingSet:
    frames = TrainingFrames(tuple(ids[:4]), tuple(ids[4:6]), tuple(ids[6:9]), tuple(ids[10:20]))
    return TrainingSet(CHEAP, ACCURATE, {"water": frames, **changes})  # type: ignore[dict-item]


def test_a_training_set_is_read_as_it_was_written(store: tuple[Store, list[str]]) -> None:
    kept, ids = store
    data = make(ids)
    found = read_training_set(kept, "water", write_training_set(kept, "water", data))
    assert (found.cheap, found.accurate) == (CHEAP, ACCURATE)
    for split in ("train", "valid", "test"):
        assert set(getattr(found.molecules["water"], split)) == set(getattr(data.molecules["water"], split))
    # With the cheap labels of the frames that have accurate ones.
    assert set(found.molecules["water"].cheap) == {*ids[10:20], *ids[:4]}


def test_its_name_changes_with_its_frames_and_with_nothing_else(store: tuple[Store, list[str]]) -> None:
    kept, ids = store
    name = write_training_set(kept, "water", make(ids))
    assert write_training_set(kept, "water", make(ids)) == name
    fewer = TrainingFrames(tuple(ids[:3]), tuple(ids[4:6]), tuple(ids[6:9]), tuple(ids[10:20]))
    assert write_training_set(kept, "water", TrainingSet(CHEAP, ACCURATE, {"water": fewer})) != name
    assert len(kept.names("training-sets/water")) == 2


def test_a_row_says_molecule_frame_level_and_split(store: tuple[Store, list[str]]) -> None:
    kept, ids = store
    rows = make(ids).table(kept).to_pylist()
    accurate = [row for row in rows if row["level"] == str(ACCURATE)]
    assert [row["split"] for row in accurate] == ["train"] * 4 + ["valid"] * 2 + ["test"] * 3
    assert {row["molecule"] for row in rows} == {"water"}
    assert {row["frame_id"] for row in accurate} == set(ids[:9])


def test_molecules_are_in_the_order_of_their_names(store: tuple[Store, list[str]]) -> None:
    _, ids = store
    assert list(make(ids, ammonia=TrainingFrames(("a",))).molecules) == ["ammonia", "water"]
