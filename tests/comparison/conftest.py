"""Water at two levels with frames in every split, as a store that strategies are compared on."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from asteroid.comparison.plan import ComparisonSettings
from asteroid.configuration import Frame, Origin, Split
from asteroid.store import Store
from asteroid.store.rows import Attempt
from tests.training.conftest import ACCURATE, CHEAP, Labels, tiny_settings, water

__all__ = ["water"]

SPLITS: tuple[Split, ...] = ("train",) * 24 + ("valid",) * 6 + ("test",) * 10


@pytest.fixture
def water_store(tmp_path: Path, water: Labels) -> Store:
    """40 waters, 24 to train, 6 to stop by and 10 to test in 5 groups; an accurate label took 36 s, a cheap one 3.6."""
    return make_store(tmp_path / "store", water)


def make_store(path: Path, labels: Labels) -> Store:
    store = Store(path)
    frames = [
        Frame(f.configuration, Origin("md", temperature=300.0), f"{split}-{index // 2}", split)
        for index, (f, split) in enumerate(zip(labels.accurate, SPLITS, strict=True))
    ]
    store.add_frames("water", frames, batch="all")
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    for level, labelled, seconds in ((CHEAP, labels.cheap, 3.6), (ACCURATE, labels.accurate, 36.0)):
        attempts = [
            Attempt(frame_id=f.frame_id, status="ok", energy=f.energy, forces=f.forces, wall_seconds=seconds, time=now)
            for f in labelled
        ]
        store.add_attempts("water", level, attempts)
    return store


def settings_with(**changes: Any) -> ComparisonSettings:
    """A comparison that takes seconds a cell."""
    values: dict[str, Any] = {
        "molecule": "water",
        "cheap": CHEAP,
        "accurate": ACCURATE,
        "variants": ("scratch", "unweighted"),
        "n_accurate": (10,),
        "seeds": (0,),
        "training": tiny_settings(pretrain_steps=10, finetune_steps=10, evaluate_every=10),
        **changes,
    }
    return ComparisonSettings(**values)
