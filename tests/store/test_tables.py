"""Each row is read once, by us and by others, while its file is compacted, by one or several, killed or not."""

import contextlib
import io
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asteroid.errors import StoreError
from asteroid.levels import LevelOfTheory
from asteroid.store import Store, compaction, tables
from asteroid.store.files import Files
from asteroid.store.rows import LABEL_SCHEMA, LATER_COLUMNS, SELECTION_SCHEMA

FOLDER = "selections/level=hf%2Fsto-3g/molecule=m"


def rows(*ids: str) -> pa.Table:
    return pa.Table.from_pylist([{"frame_id": i} for i in ids], schema=SELECTION_SCHEMA)


def put(files: Files, name: str, *ids: str) -> None:
    tables.write(files, f"{FOLDER}/{name}.parquet", rows(*ids))


def ids(files: Files) -> list[str]:
    found: list[str] = tables.read(files, FOLDER, SELECTION_SCHEMA)["frame_id"].to_pylist()
    return found


def compact(files: Files, *, size: int = tables.COMPACTED_BYTES) -> None:
    compaction.compact(files, FOLDER, SELECTION_SCHEMA, size=size)


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
    assert tables.count_files(files, FOLDER) == 2
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


@pytest.mark.parametrize("changes", range(3))
def test_what_a_killed_compaction_left_is_finished_by_the_next(store_url: str, changes: int) -> None:
    files = Files(store_url)
    for name in "abc":
        put(files, name, name)
    compact(files)
    for name in "de":
        put(files, name, name)
    # One copy is written, and the one before it removed.
    try:
        compact(StoppingFiles(store_url, changes))
    except Stopped:
        assert changes < 2
    assert ids(files) == list("abcde")
    compact(files)
    assert ids(files) == list("abcde")
    assert tables.count_files(files, FOLDER) == 1
    assert len(files.names(f"copies/{FOLDER}")) == 1


def in_other_programs(folder: Path) -> list[list[str]]:
    """Frame ids as DuckDB, Polars and pandas read them from a whole folder, sorted."""
    found = duckdb.sql(f"select frame_id from read_parquet('{folder}/**/*.parquet', hive_partitioning = true)")
    others = (pl.read_parquet(folder), pd.read_parquet(folder))
    return [sorted(i for (i,) in found.fetchall()), *(sorted(other["frame_id"]) for other in others)]


def test_other_programs_see_each_row_once_while_and_after_compactions_run_and_are_killed(tmp_path: Path) -> None:
    files = Files(tmp_path)
    expected = [f"{i:02}" for i in range(20)]
    for name in expected:
        put(files, name, name)
    children = [subprocess.Popen([sys.executable, "-c", COMPACT_FOR_EVER, str(tmp_path)]) for _ in range(2)]
    while not files.names(f"copies/{FOLDER}"):
        time.sleep(0.01)
    assert in_other_programs(tmp_path / "selections") == [expected] * 3
    for child in children:
        child.kill()
        child.wait()
        assert in_other_programs(tmp_path / "selections") == [expected] * 3
        assert ids(files) == expected
    compact(files)
    assert in_other_programs(tmp_path / "selections") == [expected] * 3
    assert ids(files) == expected


COMPACT_FOR_EVER = f"""
import sys
from asteroid.store.compaction import compact
from asteroid.store.files import Files
from asteroid.store.rows import SELECTION_SCHEMA
while True:
    for size in (2_000, 10_000):
        compact(Files(sys.argv[1]), "{FOLDER}", SELECTION_SCHEMA, size=size)
"""


def test_polars_reads_a_folder_while_files_are_written_to_it(tmp_path: Path) -> None:
    # It refuses a folder in which files of several kinds lie, unfinished ones among them.
    files = Files(tmp_path)
    put(files, "a", "a")
    end = threading.Event()

    def append() -> None:
        for i in itertools.count():
            put(files, f"b{i % 9}", "b")
            if end.is_set():
                return

    thread = threading.Thread(target=append)
    thread.start()
    try:
        for _ in range(30):
            assert "a" in pl.read_parquet(tmp_path / "selections")["frame_id"]
    finally:
        end.set()
        thread.join()


def test_what_killed_writers_left_goes_with_the_next_compaction_once_it_is_old(tmp_path: Path) -> None:
    files = Files(tmp_path)
    put(files, "a", "a")
    left = []
    for folder in (".unfinished", FOLDER, f"{FOLDER}/compacted", f"copies/{FOLDER}"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for age in (0, 7200):
            left.append(tmp_path / folder / f".x-{age}.parquet.1234abcd.tmp")
            left[-1].write_bytes(b"PAR1 half")
            os.utime(left[-1], (time.time() - age,) * 2)
    compact(files)
    assert [path for path in left if path.exists()] == left[::2]


def test_a_row_is_there_once_again_after_two_compactions_of_version_0_1_at_once(tmp_path: Path) -> None:
    # They moved members into compacted/ and removed the small files, each of what it had seen.
    files = Files(tmp_path)
    for number, names in enumerate(("ab", "bcd", "cd", "e")):
        contents = [[f"{name}.parquet", 1] for name in names]
        tables.write_members(files, f"{FOLDER}/compacted/{number}.parquet", rows(*names), contents)
    for name in "adf":
        put(files, name, name)
    assert ids(files) == list("abcdef")

    def stored() -> list[str]:
        paths = [f"{FOLDER}/{name}" for name in files.sizes(FOLDER, ".parquet")]
        paths += [f"{FOLDER}/compacted/{name}" for name in files.sizes(f"{FOLDER}/compacted", ".parquet")]
        return sorted(i for path in paths for i in pq.read_table(io.BytesIO(files.read(path)))["frame_id"].to_pylist())

    assert stored() == list("aabbccdddef")
    # Killed anywhere, it has not taken away the last of any row.
    for changes in range(5):
        with contextlib.suppress(Stopped):
            compact(StoppingFiles(str(tmp_path), changes))
        assert sorted(set(stored())) == list("abcdef")
        assert ids(files) == list("abcdef")
    compact(files)
    assert stored() == list("abcdef")
    assert ids(files) == list("abcdef")


def test_readers_and_writers_go_on_while_two_compactions_run(store_url: str) -> None:
    files = Files(store_url)
    started = finished = 0
    errors: list[BaseException] = []

    def repeat(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                while finished < 12 and not errors:
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
    assert len(ids(files)) == finished
    compact(files)
    assert tables.count_files(files, FOLDER) == 1


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
def test_a_damaged_or_foreign_file_is_named_and_never_counted(store_url: str, kind: str) -> None:
    files = Files(store_url)
    put(files, "a", "a" * 100)
    put(files, "b", "b" * 100)
    path = f"{FOLDER}/b.parquet"
    files.write(path, damaged(kind, files.read(path)))
    for use in (ids, compact):
        with pytest.raises(StoreError) as error:
            use(files)
        text = str(error.value)
        assert text.startswith(f"{files.location(path)} is damaged or foreign (")
        assert text.endswith("move it out of the store and run again: its content is then made again")
        assert "\n" not in text
    files.remove(path)
    assert ids(files) == ["a" * 100]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_copy_is_not_read_and_is_made_again(store_url: str, kind: str) -> None:
    files = Files(store_url)
    put(files, "a", "a" * 100)
    put(files, "b", "b" * 100)
    compact(files)
    (name,) = files.names(f"copies/{FOLDER}")
    path = f"copies/{FOLDER}/{name}"
    whole = files.read(path)
    files.write(path, damaged(kind, whole))
    assert ids(files) == ["a" * 100, "b" * 100]
    if kind != "a flipped bit":  # The footer is whole: only a reader of the rows finds out.
        compact(files)
        assert tables.count_files(files, FOLDER) == 1


def test_a_copy_says_nothing_of_a_member_that_has_gone_or_changed(store_url: str) -> None:
    files = Files(store_url)
    for name in "abc":
        put(files, name, name)
    compact(files)
    files.remove(f"{FOLDER}/a.parquet")
    put(files, "b", "b" * 50, "more")
    assert ids(files) == ["b" * 50, "more", "c"]
    compact(files)
    assert ids(files) == ["b" * 50, "more", "c"]


def test_a_compacted_file_that_lost_rows_does_not_take_its_members_along(store_url: str) -> None:
    files = Files(store_url)
    put(files, "a", "a")
    tables.write_members(files, f"{FOLDER}/compacted/0.parquet", rows("a"), [["a.parquet", 1], ["b.parquet", 1]])
    for use in (ids, compact):
        with pytest.raises(StoreError, match="its number of rows is wrong"):
            use(files)
    assert list(files.sizes(FOLDER, ".parquet")) == ["a.parquet"]


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
    assert table["withdraws"].to_pylist() == [None]
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
        compaction.compact(files, "labels", LABEL_SCHEMA)
