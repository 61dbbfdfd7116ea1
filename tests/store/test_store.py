"""The store keeps what it is given, whole, once, and where anyone's tools can read it."""

import dataclasses
import datetime as dt
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
from asteroid.store import Store
from asteroid.store.rows import Attempt

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
        forces=None if energy is None else np.arange(9.0).reshape(3, 3),
        reason=None if status == "ok" else "no convergence",
        wall_seconds=1.8,
        cores=2,
        time=NOW + dt.timedelta(seconds=seconds),
    )


@pytest.fixture
def store(store_url: str) -> Store:
    return Store(store_url)


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
    assert store.labels("m", CHEAP)["a"].energy == -5.0


def test_a_rejection_counts_though_its_clock_is_behind_and_spares_what_came_after_it(store: Store) -> None:
    store.add_attempts("m", CHEAP, [attempt("a", seconds=9000, energy=-9.0), attempt("b", seconds=9000)])
    store.add_attempts("m", CHEAP, [attempt("a", "rejected", seconds=0)])
    assert list(store.labels("m", CHEAP)) == ["b"]
    store.add_frames("m", [frame()], batch="b")
    (row,) = store.status()
    assert (row["ok"], row["failed"], row["rejected"]) == (1, 0, 1)
    # Of another host again, whose clock is behind the reviewer's.
    store.add_attempts("m", CHEAP, [attempt("a", seconds=-9000, energy=-3.0)])
    assert store.labels("m", CHEAP)["a"].energy == -3.0
    store.compact("m")
    assert store.labels("m", CHEAP)["a"].energy == -3.0


def test_selections_are_in_the_order_in_which_they_were_made_whatever_clocks_say(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Behind(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return dt.datetime(2020, 1, 1, tzinfo=tz)

    store.select("m", CHEAP, ["b"], name="z", criterion="all")
    monkeypatch.setattr(dt, "datetime", Behind)
    store.select("m", CHEAP, ["a"], name="a", criterion="all")
    assert store.selected("m", CHEAP) == ["b", "a"]


def test_the_status_of_one_molecule_opens_no_file_of_another(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for molecule in ("m", "other"):
        store.add_frames(molecule, [frame()], batch="b")
        store.add_attempts(molecule, CHEAP, [attempt("a")])
    (tmp_path / "labels/level=gfn2-xtb/molecule=other/damaged.parquet").write_bytes(b"PAR1")
    (row,) = store.status("m")
    assert row["ok"] == 1


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


def test_status_counts_frames_and_sums_the_cost_of_attempts(store: Store) -> None:
    store.add_frames("m", [frame()], batch="b")
    store.select("m", ACCURATE, ["a", "b", "c", "d"], name="s", criterion="all")
    store.add_attempts(
        "m",
        ACCURATE,
        [
            dataclasses.replace(attempt("a"), peak_memory=200.0),
            dataclasses.replace(attempt("a", seconds=1), retry_steps=("default", "damped", "newton")),
            dataclasses.replace(
                attempt("b", "failed", energy=None), retry_steps=("default", "damped"), peak_memory=300.0
            ),
            dataclasses.replace(attempt("c"), forces=None),
        ],
    )
    (row,) = store.status()
    # Each attempt took 1.8 s on two cores: 0.001 core-hours.
    assert row.pop("core_hours") == pytest.approx(0.004)
    assert row.pop("core_hours_by_status") == pytest.approx({"ok": 0.003, "failed": 0.001, "rejected": 0})
    assert row == {
        "molecule": "m",
        "level": "ccsd(t)/6-31g*",
        "frames": 4,
        "to_do": 1,
        "per_minute": 0.0,
        "ok": 2,
        "failed": 1,
        "rejected": 0,
        "energy_only": 1,
        "peak_memory": 300.0,
        "rungs": [
            {"rung": "default", "tried": 4, "ok": 2},
            {"rung": "damped", "tried": 2, "ok": 0},
            {"rung": "newton", "tried": 1, "ok": 1},
        ],
    }


def test_a_level_without_attempts_has_an_empty_ledger(store: Store) -> None:
    store.add_frames("m", [frame()], batch="b")
    store.select("m", ACCURATE, ["a"], name="s", criterion="all")
    (row,) = store.status()
    assert (row["frames"], row["ok"], row["core_hours"], row["peak_memory"], row["rungs"]) == (1, 0, 0.0, 0.0, [])
    assert store.labels("m", ACCURATE) == {}


def test_a_level_with_a_slash_and_a_star_is_one_folder(store: Store) -> None:
    store.add_attempts("m", ACCURATE, [attempt("a")])
    store.add_attempts("m", CHEAP, [attempt("a")])
    assert store.levels("m") == [ACCURATE, CHEAP]


@pytest.mark.parametrize("compacted", [False, True])
def test_pandas_duckdb_and_polars_read_the_store_as_it_is(tmp_path: Path, compacted: bool) -> None:
    store = Store(tmp_path / "store")
    store.add_frames("m", [frame(0.96), frame(0.97, "test")], batch="b")
    store.add_attempts("m", ACCURATE, [attempt("a")])
    store.add_attempts("m", ACCURATE, [attempt("b", "failed", energy=None)])
    if compacted:
        store.add_frames("m", [frame(0.98)], batch="c")
        store.compact("m")
        assert store.table_files("m") == 2
    labels = tmp_path / "store" / "labels"
    rows = duckdb.sql(
        f"select molecule, level, status from read_parquet('{labels}/**/*.parquet') order by 3"
    ).fetchall()
    assert rows == [("m", "ccsd(t)/6-31g*", "failed"), ("m", "ccsd(t)/6-31g*", "ok")]
    assert set(pd.read_parquet(tmp_path / "store" / "frames")["split"]) == {"train", "test"}
    table = pl.read_parquet(labels, hive_partitioning=True).sort("frame_id")
    assert table["molecule"].unique().to_list() == ["m"]
    assert table["forces"].list.len().to_list() == [9, None]


def test_units_stand_in_the_files_themselves(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.add_attempts("m", CHEAP, [attempt("a")])
    (first,) = (tmp_path / "store" / "labels").rglob("*.parquet")
    assert pq.read_schema(first).field("energy").metadata[b"unit"] == b"eV, total"


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


def test_a_store_opened_again_has_all_that_was_put_into_it(store: Store, store_url: str) -> None:
    assert store.molecules() == []
    assert store.frames("m") == []
    store.add_frames("m", [frame(0.96), frame(0.97, "test")], batch="b")
    store.select("m", ACCURATE, [frame(0.96).frame_id], name="s-1", criterion="all")
    assert store.pending("m", ACCURATE) == [frame(0.96).frame_id]
    store.add_attempts("m", ACCURATE, [attempt(frame(0.96).frame_id)])

    again = Store(store_url)
    assert again.molecules() == ["m"]
    assert again.has_frame_batch("m", "b")
    assert not again.has_frame_batch("m", "c")
    assert again.frame_batches("m") == ["b"]
    assert len(again.frames("m", split="test")) == 1
    assert again.selections("m", ACCURATE) == ["s-1"]
    assert again.pending("m", ACCURATE) == []
    assert again.labels("m", ACCURATE)[frame(0.96).frame_id].energy == -1.0
    assert again.levels("m") == [ACCURATE]


def test_a_compacted_store_answers_as_before(store: Store) -> None:
    for i in range(4):
        store.add_frames("m", [frame(0.96 + i / 100), frame(0.96)], batch=f"b{3 - i}")
        store.select("m", CHEAP, [frame(0.96 + i / 100).frame_id], name=f"s{3 - i}", criterion="all")
        store.add_attempts("m", CHEAP, [attempt(frame(0.96).frame_id, "failed", seconds=9 - i, energy=None)])

    def answers() -> tuple[object, ...]:
        return (
            store.frame_table("m"),
            store.frame_batches("m"),
            store.has_frame_batch("m", "b2"),
            store.attempts("m", CHEAP),
            store.selections("m", CHEAP),
            store.selected("m", CHEAP),
            store.selected("m", CHEAP, name="s1"),
            store.pending("m", CHEAP),
            store.status(),
        )

    before = answers()
    store.compact("m")
    assert answers() == before
    assert store.table_files("m") == 3
    # What is there is not written again, though its file has gone.
    store.add_frames("m", [frame(2.0)], batch="b2")
    store.select("m", CHEAP, ["0" * 32], name="s1", criterion="all")
    assert answers() == before
    assert store.table_files("m") == 3


def test_a_folder_that_names_no_level_is_named(store: Store) -> None:
    store.add_attempts("m", CHEAP, [attempt("a")])
    store.write("labels/notes.txt", b"ours alone")
    assert store.levels("m") == [CHEAP]
    store.write("labels/level=%3F/molecule=m/a.parquet", b"")
    with pytest.raises(StoreError, match=r"level=%3F/molecule=m names no level of theory; move it away$"):
        store.levels("m")
