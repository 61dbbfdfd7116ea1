"""A store with real labels of water at two levels, and what a report needs beside it."""

import datetime as dt

import pytest
from matplotlib.figure import Figure

from asteroid.configuration import Frame, Origin
from asteroid.levels import LevelOfTheory
from asteroid.store import Store, records
from asteroid.store.rows import Attempt
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
def drawn() -> None:
    """For a test that is about the pictures of a page: see :func:`_outlines`."""


@pytest.fixture(autouse=True)
def _outlines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of pages get all their data, but are drawn only where a test wants that: it takes most of the time."""
    if "drawn" not in request.fixturenames and request.module.__name__ in PAGES:
        monkeypatch.setattr(Figure, "savefig", lambda figure, buffer, **_: buffer.write(PIXEL))


PAGES = (
    "tests.report.test_write",
    "tests.report.test_index",
    "tests.report.test_cost",
    "tests.report.test_rounds",
    "tests.report.test_comparison",
)

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8ffff3f0005fe02fe0def46b8"
    "0000000049454e44ae426082"
)
"""A white PNG."""


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
    records.write(store, "models/water/fedcba9876543210/card.json", make_scratch_card())
    return store
