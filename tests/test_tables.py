"""Rows stay what they are while their files are compacted, by one or by several, killed or not; damage is named."""

import contextlib
import io
import itertools
import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asteroid import tables
from asteroid.errors import StoreError
from asteroid.files import Files
from asteroid.levels import LevelOfTheory
from asteroid.records import LABEL_SCHEMA, LATER_COLUMNS, SELECTION_SCHEMA
from asteroid.store import Store

FOLDER = "selections/level=hf%2Fsto-3g/molecule=m"


def rows(*ids: str) -> pa.Table:
    return pa.Table.from_pylist([{"frame_id": i} for i in ids], schema=SELECTION_SCHEMA)


def put(files: Files, name: str, *ids: str) -> None:
    tables.write(files, f"{FOLDER}/{name}.parquet", rows(*ids))


def ids(files: Files) -> list[str]:
    found: list[str] = tables.read(files, FOLDER, SELECTION_SCHEMA)["frame_id"].to_pylist()
    return found


def compact(files: Files, *, size: int = tables.COMPACTED_BYTES) -> None:
    tables.compact(files, FOLDER, SELECTION_SCHEMA, size=size)


class Stopped(BaseException):
    """Ends a compaction as a kill would: nobody handles it."""


class StoppingFiles(Files):
    """Files of a process that dies before its n-th change of the store, in whatever thread it is made."""

    def __init__(self, url: str, changes: int) -> None:
        super().__init__(url)
        self._left = changes
        self._lock = threading.Lock()

    def _change(self) -> None:
        with self._lock:
            if self._left == 0:
                raise Stopped
            self._left -= 1

    def write(self, path: str, data: bytes) -> None:
        self._change()
        super().write(path, data)

    def remove(self, path: str) -> None:
        self._change()
        super().remove(path)


def test_many_small_files_become_one_and_hold_the_same_rows(store_url: str) -> None:
    files = Files(store_url)
    for i in range(5):
        put(files, f"s{4 - i}", f"{i}a", f"{i}b")
    before = tables.read(files, FOLDER, SELECTION_SCHEMA)
    compact(files)
    assert tables.count_files(files, FOLDER) == 1
    after = tables.read(files, FOLDER, SELECTION_SCHEMA)
    assert after.equals(before)
    assert after.schema.equals(SELECTION_SCHEMA, check_metadata=True)
    compact(files)
    assert tables.count_files(files, FOLDER) == 1


def test_later_files_take_their_place_among_compacted_ones(store_url: str) -> None:
    files = Files(store_url)
    for name in "bdf":
        put(files, name, name)
    compact(files)
    for name in "gace":
        put(files, name, name)
    assert ids(files) == list("abcdefg")
    assert tables.read(files, FOLDER, SELECTION_SCHEMA, only="d.parquet")["frame_id"].to_pylist() == ["d"]
    assert tables.read(files, FOLDER, SELECTION_SCHEMA, only="z.parquet").num_rows == 0
    compact(files)
    assert ids(files) == list("abcdefg")


def test_a_large_file_is_left_alone(store_url: str) -> None:
    files = Files(store_url)
    put(files, "a", "a")
    put(files, "b", "b")
    (size,) = set(files.sizes(FOLDER, ".parquet").values())
    compact(files, size=2 * size)
    assert list(files.sizes(FOLDER, ".parquet")) == ["a.parquet", "b.parquet"]
    compact(files, size=2 * size + 2)
    assert tables.count_files(files, FOLDER) == 1


operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 999), st.integers(0, 3)),
        st.tuples(st.just("compact"), st.integers(0, 6), st.sampled_from([2_000, 10_000])),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations)
def test_compactions_that_stop_anywhere_never_change_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    url = str(tmp_path_factory.mktemp("store"))
    files = Files(url)
    expected: dict[str, list[str]] = {}
    for what, number, size in steps:
        if what == "put" and f"{number:03}" not in expected:
            name = f"{number:03}"
            expected[name] = [f"{name}-{i}" for i in range(size)]
            put(files, name, *expected[name])
        elif what == "compact":
            with contextlib.suppress(Stopped):
                compact(StoppingFiles(url, number), size=size)
        assert ids(files) == list(itertools.chain.from_iterable(expected[name] for name in sorted(expected)))
        assert list(tables.members(files, FOLDER)) == [f"{name}.parquet" for name in sorted(expected)]


@pytest.mark.parametrize("changes", range(7))
def test_what_a_killed_compaction_left_is_finished_by_the_next(store_url: str, changes: int) -> None:
    files = Files(store_url)
    for name in "abcde":
        put(files, name, name)
    # One file is written, five are removed.
    try:
        compact(StoppingFiles(store_url, changes))
    except Stopped:
        assert changes < 6
    assert ids(files) == list("abcde")
    compact(files)
    assert ids(files) == list("abcde")
    assert tables.count_files(files, FOLDER) == 1


def test_two_compactions_of_overlapping_files_count_no_row_twice(store_url: str) -> None:
    files = Files(store_url)
    put(files, "a", "a")
    put(files, "b", "b")
    with pytest.raises(Stopped):
        compact(StoppingFiles(store_url, 1))
    # The second one began before the first had written, and sees one file more.
    aside = Files(store_url + "-aside" if "://" not in store_url else store_url.replace("?", "-aside?"))
    for name in "abc":
        put(aside, name, name)
    compact(aside)
    (name,) = aside.names(f"{FOLDER}/compacted")
    put(files, "c", "c")
    files.write(f"{FOLDER}/compacted/{name}", aside.read(f"{FOLDER}/compacted/{name}"))
    assert ids(files) == list("abc")
    compact(files)
    assert ids(files) == list("abc")
    assert list(files.sizes(FOLDER, ".parquet")) == []


def test_readers_and_writers_go_on_while_two_compactions_run(store_url: str) -> None:
    files = Files(store_url)
    started = finished = 0
    end = time.monotonic() + 3
    errors: list[BaseException] = []

    def repeat(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                while time.monotonic() < end:
                    work()
            except BaseException as error:
                errors.append(error)

        return run

    def append() -> None:
        nonlocal started, finished
        started += 1
        put(files, f"{started:06}", f"{started:06}")
        finished += 1

    def read() -> None:
        there = finished
        found = ids(files)
        assert found == [f"{i:06}" for i in range(1, len(found) + 1)]
        assert there <= len(found) <= started

    threads = [threading.Thread(target=repeat(work)) for work in (append, read, read)]
    threads += [threading.Thread(target=repeat(lambda: compact(files))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(ids(files)) == finished > 5
    assert tables.count_files(files, FOLDER) < finished


def compact_again_and_again(url: str) -> None:
    """What a child process does until it is killed: append, compact."""
    files = Files(url)
    for i in itertools.count():
        put(files, f"{os.getpid():08}-{i:04}", f"{os.getpid()}-{i}")
        if i % 4 == 3:
            compact(files)


def test_a_store_survives_kills_of_what_compacts_it(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    files = Files(url)
    rng = random.Random(0)
    seen: set[str] = set()
    for _ in range(6):
        process = multiprocessing.get_context("spawn").Process(target=compact_again_and_again, args=(url,))
        process.start()
        assert process.pid
        while f"{process.pid}-3" not in ids(files):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        found = ids(files)
        assert len(found) == len(set(found))
        assert seen <= set(found)
        # Of each process all rows up to the last are there.
        mine = [int(i.partition("-")[2]) for i in found if i.startswith(f"{process.pid}-")]
        assert mine == list(range(len(mine)))
        seen = set(found)
    compact(files)
    assert set(ids(files)) == seen


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def damaged(kind: str, whole: bytes) -> bytes:
    if kind == "a flipped bit":
        # In the first page, behind the four letters at the start of the file.
        return whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]
    return {
        "empty": b"",
        "cut short": whole[: len(whole) // 2],
        "its tail alone": whole[len(whole) // 2 :],
        "text": b"this is not Parquet at all",
        "foreign": parquet(pa.table({"x": [1, 2]})),
        "foreign with ids": parquet(pa.table({"frame_id": ["a"], "status": ["ok"]})),
        "other types": parquet(rows("a").set_column(0, "frame_id", pa.array([[1.0]]))),
    }[kind]


KINDS = ["empty", "cut short", "its tail alone", "text", "foreign", "foreign with ids", "other types", "a flipped bit"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compacted", [False, True])
def test_a_damaged_or_foreign_file_is_named_and_never_counted(store_url: str, kind: str, compacted: bool) -> None:
    files = Files(store_url)
    put(files, "a", "a" * 100)
    put(files, "b", "b" * 100)
    path = f"{FOLDER}/b.parquet"
    if compacted:
        compact(files)
        path = f"{FOLDER}/compacted/{files.names(f'{FOLDER}/compacted')[0]}"
    files.write(path, damaged(kind, files.read(path)))
    for use in (ids, compact) if not compacted else (ids,):
        with pytest.raises(StoreError) as error:
            use(files)
        text = str(error.value)
        assert text.startswith(f"{files.location(path)} is damaged or foreign (")
        assert text.endswith("move it out of the store and run again: what it held is then made again")
        assert "\n" not in text
    files.remove(path)
    assert ids(files) == ([] if compacted else ["a" * 100])


def test_a_compacted_file_that_lost_rows_does_not_take_its_members_along(store_url: str) -> None:
    files = Files(store_url)
    put(files, "a", "a")
    put(files, "b", "b")
    with pytest.raises(Stopped):
        compact(StoppingFiles(store_url, 1))
    (name,) = files.names(f"{FOLDER}/compacted")
    short = rows("a").replace_schema_metadata({tables.MEMBERS_KEY: json.dumps([["a.parquet", 1], ["b.parquet", 1]])})
    files.write(f"{FOLDER}/compacted/{name}", parquet(short))
    with pytest.raises(StoreError, match="does not hold the rows"):
        compact(files)
    assert list(files.sizes(FOLDER, ".parquet")) == ["a.parquet", "b.parquet"]


def test_what_is_no_finished_parquet_file_is_no_part_of_a_table(store_url: str) -> None:
    files = Files(store_url)
    put(files, "a", "a")
    whole = files.read(f"{FOLDER}/a.parquet")
    for name in (".b.parquet.1234abcd.tmp", ".hidden.parquet", "notes.txt", "c.parquet.bak", "d.parquet/inner.parquet"):
        files.write(f"{FOLDER}/{name}", whole)
    assert ids(files) == ["a"]
    compact(files)
    assert ids(files) == ["a"]


@pytest.mark.parametrize("folder", ["frames/molecule=m", FOLDER, FOLDER.replace("selections", "labels")])
def test_every_kind_of_folder_refuses_a_file_that_is_cut_short(store_url: str, folder: str) -> None:
    store = Store(store_url)
    store.write(f"{folder}/x.parquet", b"PAR1 half")
    level = LevelOfTheory.parse("hf/sto-3g")
    use = (lambda: store.pending("m", level)) if "level" in folder else (lambda: store.frames("m"))
    with pytest.raises(StoreError, match=rf"{folder}/x\.parquet is damaged"):
        use()


def test_a_ledger_of_an_earlier_version_reads_as_null_where_it_knows_nothing(store_url: str) -> None:
    files = Files(store_url)
    old = pa.schema([field for field in LABEL_SCHEMA if field.name not in LATER_COLUMNS])
    files.write("labels/a.parquet", parquet(pa.Table.from_pylist([{"frame_id": "a", "status": "ok"}], schema=old)))
    table = tables.read(files, "labels", LABEL_SCHEMA, presence_of="forces")
    assert table["rungs"].to_pylist() == [None]
    assert table["has_forces"].to_pylist() == [False]


def test_presence_is_known_whether_or_not_the_column_must_be_read(store_url: str) -> None:
    files = Files(store_url)
    both, energy_only, neither = (-1.0, [1.0]), (-1.0, None), (None, None)
    expected = []
    for i, some in enumerate(([both, neither, both], [both, energy_only, neither], [energy_only], [(-1.0, [])])):
        rows = [{"frame_id": "a", "energy": energy, "forces": forces} for energy, forces in some]
        tables.write(files, f"labels/{i}.parquet", pa.Table.from_pylist(rows, schema=LABEL_SCHEMA))
        expected += [forces is not None for _, forces in some]
    for _ in range(2):
        found = tables.read(files, "labels", LABEL_SCHEMA, columns=["frame_id"], presence_of="forces")
        assert found["has_forces"].to_pylist() == expected
        tables.compact(files, "labels", LABEL_SCHEMA)
