"""The store keeps what it is given, whole, once, and where anyone's tools can read it."""

import dataclasses
import datetime as dt
import resource
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asteroid.configuration import SPLITS, Configuration, Frame, Origin, check_name
from asteroid.errors import InputError, StoreError
from asteroid.levels import LevelOfTheory
from asteroid.records import Attempt
from asteroid.store import Store

CHEAP = LevelOfTheory.parse("gfn2-xtb")
ACCURATE = LevelOfTheory.parse("ccsd(t)/6-31g*")
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)


def frame(x: float = 0.96, split: str = "train", group: str = "g") -> Frame:
    water = Configuration(np.array([8, 1, 1]), np.array([[0, 0, 0], [x, 0, 0], [-0.24, 0.93, 0]]))
    return Frame(water, Origin("md", {"timestep": 0.5}, 7, "parent", 300.0), group, split)  # type: ignore[arg-type]


def attempt(frame_id: str, status: str = "ok", *, seconds: int = 0, energy: float | None = -1.0) -> Attempt:
    return Attempt(
        frame_id=frame_id,
        status=status,  # type: ignore[arg-type]
        energy=energy,
        forces=np.arange(9.0).reshape(3, 3),
        reason=None if status == "ok" else "no convergence",
        wall_seconds=1.8,
        cores=2,
        time=NOW + dt.timedelta(seconds=seconds),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


finite = st.floats(-1e3, 1e3)
frames = st.builds(
    lambda numbers, positions, charge, split, parameters, temperature: Frame(
        Configuration(
            numbers, positions[: len(numbers)], charge, 1 + (int(numbers.sum()) - charge) % 2
        ),
        Origin("md", parameters, 1, None, temperature),
        "group",
        split,
    ),
    hnp.arrays(np.int64, st.integers(1, 5), elements=st.integers(2, 86)),
    hnp.arrays(np.float64, (5, 3), elements=finite),
    st.integers(-1, 1),
    st.sampled_from(SPLITS),
    st.dictionaries(st.text(max_size=5), st.integers() | finite | st.text(max_size=5) | st.none(), max_size=3),
    st.none() | st.floats(1, 1000),
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(frames, max_size=4, unique_by=lambda f: f.frame_id))
def test_frames_come_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, written: list[Frame]) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    store.add_frames("m", written, batch="b")
    back = store.frames("m")
    assert [f.frame_id for f in back] == [f.frame_id for f in written]
    assert [(f.origin, f.group, f.split) for f in back] == [(f.origin, f.group, f.split) for f in written]
    for ours, theirs in zip(back, written, strict=True):
        assert np.array_equal(ours.configuration.positions, theirs.configuration.positions)


def test_attempts_come_back_as_they_were(store: Store) -> None:
    store.add_attempts("m", CHEAP, [attempt("a"), attempt("b", "failed", energy=None)])
    back = store.labels("m", CHEAP)
    assert list(back) == ["a"]
    assert back["a"].forces is not None
    assert np.array_equal(back["a"].forces, np.arange(9.0).reshape(3, 3))
    assert back["a"].time == NOW
    assert store.attempts("m", CHEAP)["status"].to_pylist() == ["ok", "failed"]


def test_the_first_good_attempt_is_the_label(store: Store) -> None:
    store.add_attempts("m", CHEAP, [attempt("a", seconds=9, energy=-9.0)])
    store.add_attempts("m", CHEAP, [attempt("a", seconds=5, energy=-5.0)])
    store.add_attempts("m", CHEAP, [attempt("a", "rejected", seconds=1, energy=-1.0)])
    assert store.labels("m", CHEAP)["a"].energy == -5.0


def test_a_later_rejection_withdraws_a_label_and_a_later_success_restores_it(store: Store) -> None:
    store.add_attempts("m", CHEAP, [attempt("a", seconds=1, energy=-1.0), attempt("a", "rejected", seconds=2)])
    assert store.labels("m", CHEAP) == {}
    store.add_attempts("m", CHEAP, [attempt("a", seconds=3, energy=-3.0)])
    assert store.labels("m", CHEAP)["a"].energy == -3.0


def test_an_energy_without_forces_is_pending_only_where_forces_are_wanted(store: Store) -> None:
    ids = [f"{i:032x}" for i in range(3)]
    store.select("m", CHEAP, ids, name="s", criterion="all")
    energy_only = dataclasses.replace(attempt(ids[0]), forces=None)
    store.add_attempts("m", CHEAP, [energy_only, attempt(ids[1], "failed", energy=None)])
    assert store.pending("m", CHEAP, forces=False) == [ids[2]]
    assert store.pending("m", CHEAP) == [ids[0], ids[2]]
    store.add_attempts("m", CHEAP, [attempt(ids[0], seconds=9, energy=-9.0)])
    assert store.labels("m", CHEAP)[ids[0]].energy == -9.0


def test_a_batch_is_written_once(store: Store) -> None:
    store.add_frames("m", [frame(0.96)], batch="b")
    store.add_frames("m", [frame(0.97), frame(0.98)], batch="b")
    assert len(store.frames("m")) == 1


def test_an_empty_batch_is_remembered(store: Store) -> None:
    store.add_frames("m", [], batch="b")
    assert store.has_frame_batch("m", "b")
    assert store.frames("m") == []


def test_a_geometry_in_two_batches_is_one_frame(store: Store) -> None:
    store.add_frames("m", [frame(0.96)], batch="b1")
    store.add_frames("m", [frame(0.96), frame(0.97)], batch="b2")
    assert len(store.frames("m")) == 2


def test_frames_are_found_by_split_and_by_id(store: Store) -> None:
    store.add_frames("m", [frame(0.96), frame(0.97, "test")], batch="b")
    (test,) = store.frames("m", split="test")
    assert test.configuration.positions[1, 0] == 0.97
    assert [f.frame_id for f in store.frames("m", ids=[test.frame_id])] == [test.frame_id]
    assert store.frames("m", split="train", ids=[test.frame_id]) == []


def test_the_shards_share_the_pending_frames_among_them(store: Store) -> None:
    all_frames = [frame(0.9 + i / 100) for i in range(20)]
    store.add_frames("m", all_frames, batch="b")
    store.select("m", CHEAP, [f.frame_id for f in all_frames], name="all", criterion="all")
    store.add_attempts("m", CHEAP, [attempt(all_frames[0].frame_id, "failed", energy=None)])
    shares = [store.pending("m", CHEAP, shard=i, shards=3) for i in range(3)]
    assert sorted(frame_id for share in shares for frame_id in share) == sorted(f.frame_id for f in all_frames[1:])
    assert store.pending("m", ACCURATE) == []


def test_selections_keep_their_order_and_are_made_once(store: Store) -> None:
    store.select("m", CHEAP, ["c", "a"], name="first", criterion="diverse")
    store.select("m", CHEAP, ["x"], name="first", criterion="diverse")
    store.select("m", CHEAP, ["a", "b"], name="second", criterion="diverse")
    assert store.selected("m", CHEAP) == ["c", "a", "b"]
    assert store.selected("m", CHEAP, name="second") == ["a", "b"]
    assert store.selected("m", CHEAP, name="third") == []
    assert store.selections("m", CHEAP) == ["first", "second"]


def test_status_counts_attempts_and_core_hours(store: Store) -> None:
    store.add_frames("m", [frame()], batch="b")
    store.select("m", ACCURATE, ["a", "b", "c"], name="s", criterion="all")
    store.add_attempts("m", ACCURATE, [attempt("a"), attempt("b", "failed", energy=None)])
    (row,) = store.status()
    # Two attempts of 1.8 s on two cores are 7.2 core-seconds.
    assert row["core_hours"] == pytest.approx(0.002)
    assert (row["level"], row["frames"], row["ok"], row["failed"], row["rejected"]) == ("ccsd(t)/6-31g*", 3, 1, 1, 0)


def test_a_level_with_a_slash_and_a_star_is_one_folder(store: Store) -> None:
    store.add_attempts("m", ACCURATE, [attempt("a")])
    store.add_attempts("m", CHEAP, [attempt("a")])
    assert store.levels("m") == [ACCURATE, CHEAP]


def test_pandas_duckdb_and_polars_read_the_store_as_it_is(store: Store, tmp_path: Path) -> None:
    store.add_frames("m", [frame(0.96), frame(0.97, "test")], batch="b")
    store.add_attempts("m", ACCURATE, [attempt("a"), attempt("b", "failed", energy=None)])
    labels = tmp_path / "store" / "labels"
    rows = duckdb.sql(
        f"select molecule, level, status from read_parquet('{labels}/**/*.parquet') order by 3"
    ).fetchall()
    assert rows == [("m", "ccsd(t)/6-31g*", "failed"), ("m", "ccsd(t)/6-31g*", "ok")]
    assert set(pd.read_parquet(tmp_path / "store" / "frames")["split"]) == {"train", "test"}
    table = pl.read_parquet(labels, hive_partitioning=True)
    assert table["molecule"].unique().to_list() == ["m"]
    assert table["forces"].list.len().to_list() == [9, 9]


def test_units_stand_in_the_files_themselves(store: Store, tmp_path: Path) -> None:
    store.add_attempts("m", CHEAP, [attempt("a")])
    (path,) = (tmp_path / "store" / "labels").rglob("*.parquet")
    assert pq.read_schema(path).field("energy").metadata[b"unit"] == b"eV, total"


def test_an_unfinished_file_is_no_part_of_the_store(store: Store, tmp_path: Path) -> None:
    store.add_frames("m", [frame()], batch="b")
    (tmp_path / "store/frames/molecule=m/.c.parquet.1234.tmp").write_bytes(b"PAR1 half a file")
    assert store.frame_batches("m") == ["b"]
    assert len(store.frames("m")) == 1


def test_a_foreign_file_is_named(store: Store, tmp_path: Path) -> None:
    store.add_frames("m", [frame()], batch="b")
    (tmp_path / "store/frames/molecule=m/c.parquet").write_bytes(b"this is not Parquet at all")
    with pytest.raises(StoreError, match="molecule=m"):
        store.frames("m")


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Store(tmp_path / "file").write("a/b", b"x")


def test_a_failed_write_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system refuses to let a file grow beyond the limit, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StoreError, match="cannot write"):
            store.write("models/m/card.json", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("url", ["s4://bucket", "://", "s3://", ""])
def test_a_url_that_is_no_store_is_bad_input(url: str) -> None:
    with pytest.raises(InputError, match="write a folder or s3://bucket/prefix"):
        Store(url)


@settings(max_examples=200)
@given(st.text(max_size=70))
def test_only_plain_names_name_a_molecule(name: str) -> None:
    plain = (
        0 < len(name) <= 64 and all(c.isascii() and (c.isalnum() or c in "_-") for c in name) and name[0] not in "_-"
    )
    if plain:
        assert check_name(name) == name
    else:
        with pytest.raises(InputError):
            check_name(name)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An S3 bucket on this machine, as a store's URL."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    patch = pytest.MonkeyPatch()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "dummy")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    host, port = server.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1").create_bucket(Bucket="bucket")
    yield f"s3://bucket/prefix?endpoint_override=http%3A%2F%2F{host}%3A{port}&scheme=http&region=us-east-1"
    patch.undo()
    server.stop()


@pytest.mark.server
def test_an_object_store_keeps_all_that_a_folder_keeps(bucket: str) -> None:
    store = Store(bucket)
    assert store.molecules() == []
    assert store.frames("m") == []
    store.add_frames("m", [frame(0.96), frame(0.97, "test")], batch="b")
    store.select("m", ACCURATE, [frame(0.96).frame_id], name="s-1", criterion="all")
    assert store.pending("m", ACCURATE) == [frame(0.96).frame_id]
    store.add_attempts("m", ACCURATE, [attempt(frame(0.96).frame_id)])
    store.write_json("models/m/1/card.json", {"σ": 1})

    again = Store(bucket)
    assert again.molecules() == ["m"]
    assert again.has_frame_batch("m", "b")
    assert not again.has_frame_batch("m", "c")
    assert again.frame_batches("m") == ["b"]
    assert len(again.frames("m", split="test")) == 1
    assert again.selections("m", ACCURATE) == ["s-1"]
    assert again.pending("m", ACCURATE) == []
    assert again.labels("m", ACCURATE)[frame(0.96).frame_id].energy == -1.0
    assert again.levels("m") == [ACCURATE]
    assert again.read_json("models/m/1/card.json") == {"σ": 1}
    assert again.location("models") == "s3://bucket/prefix/models"
    assert again.local_path("models") is None
    again.remove("models/m/1/card.json")
    assert not again.exists("models/m/1/card.json")
