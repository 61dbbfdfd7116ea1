"""A store with real labels of water at two levels, and what a report needs beside it."""

import datetime as dt

import pytest

from asteroid.configuration import Frame, Origin
from asteroid.levels import LevelOfTheory
from asteroid.records import Attempt
from asteroid.store import Store
from tests.validation.certificates import displaced, label, make_scratch_card, measured

CHEAP, ACCURATE = LevelOfTheory.parse("gfn1-xtb"), LevelOfTheory.parse("gfn2-xtb")
HOSTILE = "<script>alert('SCF')</script> & \"quotes\""


def attempts(number, frames, seconds):
    energies, forces = label(number, [f.configuration for f in frames])
    return [
        Attempt(
            frame_id=frame.frame_id,
            status="ok",
            energy=energy,
            forces=force,
            wall_seconds=seconds,
            cores=2,
            program="tblite",
            version="0.8.0",
            time=dt.datetime.now(dt.UTC),
        )
        for frame, energy, force in zip(frames, energies, forces, strict=True)
    ]


def failed(frame, reason):
    return Attempt(
        frame_id=frame.frame_id, status="failed", reason=reason, wall_seconds=5.0, time=dt.datetime.now(dt.UTC)
    )


@pytest.fixture
def store(tmp_path) -> Store:
    """As :func:`fill` fills it."""
    return fill(Store(tmp_path / "store"))


def fill(store: Store) -> Store:
    """Ten training frames (cheap 1 s, accurate 100 s on two cores each) and the two failed test frames of 5 s."""
    measured()
    origin = Origin("normal-modes", seed=0)
    train = [Frame(c, origin, "group-0", "train") for c in displaced(10)]
    test = [Frame(c, origin, "group-1", "test") for c in displaced(2, seed=1)]
    store.add_frames("water", [*train, *test], batch="batch")
    for level, number, seconds in ((CHEAP, 1, 1.0), (ACCURATE, 2, 100.0)):
        store.select("water", level, [f.frame_id for f in [*train, *test]], name="all", criterion="all")
        store.add_attempts("water", level, attempts(number, train, seconds))
    store.add_attempts("water", ACCURATE, [failed(frame, HOSTILE) for frame in test])
    store.write_json("models/water/fedcba9876543210/card.json", make_scratch_card())
    return store
