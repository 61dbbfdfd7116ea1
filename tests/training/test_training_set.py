"""A training set is what it says, keeps what it holds, and has the name of its content."""

from pathlib import Path

import pandas as pd
import pytest

from asteroid.data.training_set import TrainingFrames, TrainingSet, write_training_set
from asteroid.store import Store

from .conftest import ACCURATE, CHEAP, Labels, fill


@pytest.fixture
def store(water: Labels, tmp_path: Path) -> tuple[Store, list[str]]:
    store = Store(tmp_path)
    return store, fill(store, water)


def make(ids: list[str], **changes: object) -> TrainingSet:
    frames = TrainingFrames(tuple(ids[:4]), tuple(ids[4:6]), tuple(ids[6:9]), tuple(ids[10:20]))
    return TrainingSet(CHEAP, ACCURATE, {"water": frames, **changes})  # type: ignore[dict-item]


def test_a_training_set_in_the_store_is_a_table_that_other_tools_read(store: tuple[Store, list[str]]) -> None:
    kept, ids = store
    name = write_training_set(kept, "water", make(ids))
    rows = pd.read_parquet(kept.location(f"training-sets/water/{name}.parquet"))
    accurate, cheap = (rows[rows.level == str(level)] for level in (ACCURATE, CHEAP))
    assert {split: set(some.frame_id) for split, some in accurate.groupby("split")} == {
        "train": set(ids[:4]),
        "valid": set(ids[4:6]),
        "test": set(ids[6:9]),
    }
    # With the cheap labels of the frames that have accurate ones: their differences are learned.
    assert set(cheap[cheap.split == "train"].frame_id) == {*ids[10:20], *ids[:4]}
    assert set(cheap[cheap.split == "valid"].frame_id) == set(ids[4:6])


def test_its_name_changes_with_its_frames_and_with_nothing_else(store: tuple[Store, list[str]]) -> None:
    kept, ids = store
    name = write_training_set(kept, "water", make(ids))
    assert write_training_set(kept, "water", make(ids)) == name
    fewer = TrainingFrames(tuple(ids[:3]), tuple(ids[4:6]), tuple(ids[6:9]), tuple(ids[10:20]))
    assert write_training_set(kept, "water", TrainingSet(CHEAP, ACCURATE, {"water": fewer})) != name
    assert len(kept.names("training-sets/water")) == 2


def test_molecules_are_in_the_order_of_their_names(store: tuple[Store, list[str]]) -> None:
    _, ids = store
    assert list(make(ids, ammonia=TrainingFrames(("a",))).molecules) == ["ammonia", "water"]
