import numpy as np
import polars
import pytest

from asteroid.simulation.run import simulate
from asteroid.simulation.trajectories import StoredTrajectories, from_parquet, to_parquet
from asteroid.store import Store
from tests.simulation.conftest import well


@pytest.fixture(scope="module")
def replicas(formaldehyde):
    """One that ended early, and one that did not."""
    calls = iter([[None, None], [None, "told to"]])
    return simulate(
        well(),
        [formaldehyde] * 2,
        ensemble="nvt",
        temperatures=[300.0, 600.0],
        timestep=0.5,
        duration=0.02,
        interval=5.0,
        seeds=[1, 2],
        stop=lambda positions: next(calls, [None] * len(positions)),
    )


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        for name in a.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_parquet_gives_back_every_bit(replicas, formaldehyde):
    found = from_parquet(to_parquet(replicas, formaldehyde.numbers))
    assert_equal(found, replicas)
    assert [len(r.times) for r in found] == [5, 2]


def test_other_programs_read_the_parquet(replicas, formaldehyde, tmp_path):
    (tmp_path / "md.parquet").write_bytes(to_parquet(replicas, formaldehyde.numbers))
    table = polars.read_parquet(tmp_path / "md.parquet")
    assert table["replica"].to_list() == [0] * 5 + [1] * 2
    assert table.filter(polars.col("replica") == 1)["time"].to_list() == [0.0, 5.0]
    np.testing.assert_array_equal(table["positions"][3].to_numpy().reshape(-1, 3), replicas[0].positions[3])


def test_the_store_keeps_finished_trajectories_and_the_newest_checkpoint(replicas, formaldehyde, tmp_path):
    store = Store(tmp_path)
    kept = StoredTrajectories(store, "reports/formaldehyde/x/trajectories", formaldehyde.numbers)
    assert kept.load("nvt") is None
    checkpoints = kept.checkpoints("nvt")
    assert checkpoints.load() is None
    for content in (b"1", b"2", b"3"):
        checkpoints.save(content)
    assert kept.checkpoints("nvt").load() == b"3"
    assert kept.checkpoints("nve").load() is None
    kept.save("nvt", replicas)
    assert checkpoints.load() is None, "what is finished needs no checkpoint"
    assert_equal(kept.load("nvt"), replicas)
