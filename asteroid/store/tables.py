"""Folders of immutable Parquet files that are read as one table, and copied into few large files.

A **member** is a file as it was written. Members are never changed or removed, so that other programs that read a whole
folder always see each row once. (Many files cannot be replaced by one atomically, least of all in an object store.)

Compaction **copies** the rows of many small members into one large file in the folder ``copies``; its metadata lists
the members with their rows and sizes. A copy is read in place of members that still have the same size. Copies only
save time: they may be damaged, duplicated or removed, and compactions may be killed or run side by side. (With a lock
instead, a reader would see rows twice until the small files are removed, and for good after a kill. A format with a
commit log, such as Delta Lake, excludes programs that read the folder directly.)

Version 0.1 moved members into ``<folder>/compacted`` and removed the small files; that folder is still read. Two
compactions at once could duplicate rows there, which the next compaction repairs.

Builds on :mod:`asteroid.store.files`; used by :mod:`asteroid.store`.
"""

import datetime as dt
import io
import json
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asteroid.errors import StoreError
from asteroid.store.files import Files
from asteroid.store.rows import COMPANION, LATER_COLUMNS

SUFFIX: Final = ".parquet"
COPIES: Final = "copies"
COPY_SUFFIX: Final = ".copy"
"""Different from that of members, so that patterns for these find no copy."""

COMPACTED: Final = "compacted"
"""Folder of compacted files of version 0.1."""

MEMBERS_KEY: Final = b"asteroid.members"

COMPACTED_BYTES: Final = 64 * 2**20
"""Bytes of the members in one copy."""

ROW_GROUP: Final = 50_000
"""Rows per Parquet row group."""

THREADS: Final = 8
"""Files read at once; in an object store each takes several requests."""

CACHE_BYTES: Final = 64 * 2**20
"""Size of the cache of tables of each open store; a table of more than an eighth of it is not cached."""

RESTARTS: Final = 20
"""Number of restarts of a reader when a compaction removes the files it reads."""

_caches: "WeakKeyDictionary[Files, TableCache]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Stretch:
    """Consecutive rows of one file.

    Args:
        rows: number; None for all.
        total: rows of the whole file, if it has other members, too.
        size: of the file in bytes, if it is a member; copies may be rewritten under the same name.
    """

    path: str
    start: int = 0
    rows: int | None = None
    total: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class Member:
    """Name, rows and size in bytes (None in files of version 0.1) of a member, as listed in a copy."""

    name: str
    rows: int
    size: int | None


def unique_name(suffix: str = SUFFIX) -> str:
    """A unique file name; names of one host sort by time."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:12]}{suffix}"


def write(files: Files, path: str, table: pa.Table) -> None:
    """Write one file, with page checksums."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=ROW_GROUP, write_page_checksum=True)
    files.write(path, buffer.getvalue())


def write_members(files: Files, path: str, table: pa.Table, contents: list[list[Any]]) -> None:
    """Write the rows of several members as one file.

    Args:
        contents: name and number of rows of each member, in order, and its size in bytes where the file is a copy.
    """
    write(files, path, table.replace_schema_metadata({MEMBERS_KEY: json.dumps(contents)}))


def members(files: Files, folder: str, *, without: Collection[str] = ()) -> dict[str, Stretch]:
    """Location of the rows of each member of a folder, by name in sorted order.

    Args:
        without: paths of unreadable copies.
    """
    # In this order: the rows of a small file that compact() removes are in a compacted one.
    own = files.sizes(folder, SUFFIX)
    found: dict[str, Stretch] = {}
    for path in (*compacted_files(files, folder), *copies(files, folder)):
        # If it no longer exists, another compaction has put its members elsewhere.
        contents = readable_contents(files, path) if path not in without else []
        start, total = 0, sum(member.rows for member in contents)
        for member in contents:
            if member.size is None or member.size == own.get(member.name):
                found.setdefault(member.name, Stretch(path, start, member.rows, total))
            start += member.rows
    for name, size in own.items():
        found.setdefault(name, Stretch(f"{folder}/{name}", size=size))
    return dict(sorted(found.items()))


def has_member(files: Files, folder: str, name: str) -> bool:
    # In this order: compaction may remove the file in between.
    return files.exists(f"{folder}/{name}") or any(
        name == member.name for path in compacted_files(files, folder) for member in readable_contents(files, path)
    )


def count_files(files: Files, folder: str) -> int:
    """Number of files that are opened to read a folder."""
    return len({stretch.path for stretch in members(files, folder).values()})


def read(
    files: Files,
    folder: str,
    schema: pa.Schema,
    *,
    columns: Sequence[str] | None = None,
    presence_of: str | None = None,
    keep: Callable[[pa.Table], pa.Table] | None = None,
    only: str | None = None,
) -> pa.Table:
    """The rows of a folder in the order of its members' names; none when it is not there.

    Args:
        schema: of every file; some may lack columns of :data:`~asteroid.store.rows.LATER_COLUMNS`.
        columns: to be read, all by default.
        presence_of: a column of :data:`~asteroid.store.rows.COMPANION`; the boolean column ``has_<name>`` then says
            where it has a value.
        keep: filters the rows of each file as it is read, so that the others never take memory together; it may also
            return other columns.
        only: the name of the one member that is wanted.

    Raises:
        StoreError: for a file that cannot be reached, is damaged, or holds something else; the message names it.
    """
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])

    def read_stretches(stretches: Sequence[Stretch]) -> list[pa.Table]:
        path, total = stretches[0].path, stretches[0].total
        try:
            table = read_file(files, path, schema, wanted, presence_of, size=stretches[0].size)
        except StoreError:
            if not path.startswith(f"{COPIES}/"):
                raise
            damaged.add(path)  # Its members are there.
            raise FileNotFoundError(path) from None
        if total is not None and table.num_rows != total:
            raise FileNotFoundError(path)  # It was mended after it had been listed.
        parts = [table.slice(stretch.start, stretch.rows) for stretch in stretches]
        return [keep(part) for part in parts] if keep else parts

    damaged: set[str] = set()
    for _ in range(RESTARTS):
        found = members(files, folder, without=damaged)
        stretches = _joined(found.values() if only is None else [found[only]] if only in found else [])
        if not stretches:
            break
        # A compacted file may occur several times; it is opened once.
        by_file: dict[str, list[Stretch]] = {}
        for stretch in stretches:
            by_file.setdefault(stretch.path, []).append(stretch)
        try:
            # Threads help only where requests take time, not for local files.
            with ThreadPoolExecutor(THREADS) if files.local is None else nullcontext() as pool:
                read_all = pool.map if pool else map
                tables = dict(zip(by_file, read_all(read_stretches, by_file.values()), strict=True))
        except FileNotFoundError:
            continue
        in_order = {path: iter(parts) for path, parts in tables.items()}
        return pa.concat_tables(next(in_order[stretch.path]) for stretch in stretches)
    else:
        raise StoreError(f"{files.location(folder)} keeps changing while it is read; try again")
    empty = wanted.empty_table()
    if presence_of:
        empty = empty.append_column(f"has_{presence_of}", pa.array([], pa.bool_()))
    return keep(empty) if keep else empty


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Merge adjacent stretches."""
    joined: list[Stretch] = []
    for stretch in stretches:
        last = joined[-1] if joined else None
        if last and last.rows is not None and (last.path, last.start + last.rows) == (stretch.path, stretch.start):
            joined[-1] = Stretch(last.path, last.start, last.rows + (stretch.rows or 0), last.total)
        else:
            joined.append(stretch)
    return joined


def compacted_files(files: Files, folder: str) -> list[str]:
    return [f"{folder}/{COMPACTED}/{name}" for name in files.sizes(f"{folder}/{COMPACTED}", SUFFIX)]


def copies(files: Files, folder: str) -> list[str]:
    return [f"{COPIES}/{folder}/{name}" for name in files.sizes(f"{COPIES}/{folder}", COPY_SUFFIX)]


def contents_of(files: Files, path: str) -> list[Member]:
    """The members of a copy or compacted file. Raises FileNotFoundError when it no longer exists."""
    try:
        with files.open(path) as stream:
            footer = pq.read_metadata(stream)
        contents = [Member(str(name), int(rows), *(size or [None])) for name, rows, *size in _listed(footer)]
        if sum(member.rows for member in contents) != footer.num_rows:
            raise ValueError("its number of rows is wrong")
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise _fault(files, path, error) from error
    return contents


def _listed(footer: pq.FileMetaData) -> list[list[Any]]:
    listed: list[list[Any]] = json.loads((footer.metadata or {})[MEMBERS_KEY])
    return listed


def readable_contents(files: Files, path: str) -> list[Member]:
    """Members as in :func:`contents_of`; none for a file that no longer exists, or a damaged copy."""
    try:
        return contents_of(files, path)
    except FileNotFoundError:
        return []
    except StoreError:
        if path.startswith(f"{COPIES}/"):
            return []
        raise


class TableCache:
    """The last tables read from one store, up to :data:`CACHE_BYTES`.

    A run reads the same labels dozens of times, and opening many small files is slow. Members never change.
    """

    def __init__(self) -> None:
        self._tables: OrderedDict[tuple[Any, ...], pa.Table] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[Any, ...]) -> pa.Table | None:
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
            return self._tables.get(key)

    def put(self, key: tuple[Any, ...], table: pa.Table) -> None:
        with self._lock:
            if key in self._tables or table.nbytes > CACHE_BYTES / 8:
                return
            self._tables[key] = table
            self._bytes += table.nbytes
            while self._bytes > CACHE_BYTES:
                self._bytes -= self._tables.popitem(last=False)[1].nbytes


def read_file(
    files: Files,
    path: str,
    schema: pa.Schema,
    wanted: pa.Schema,
    presence_of: str | None = None,
    *,
    size: int | None = None,
) -> pa.Table:
    """The wanted columns of one file. Raises FileNotFoundError when it no longer exists."""
    if size is None:
        return _read_file(files, path, schema, wanted, presence_of)
    cache = _caches.setdefault(files, TableCache())
    # The size, because a damaged file may be replaced by another one of the same name.
    key = (path, size, tuple(wanted.names), presence_of)
    table = cache.get(key)
    if table is None:
        table = _read_file(files, path, schema, wanted, presence_of)
        cache.put(key, table)
    return table


def _read_file(files: Files, path: str, schema: pa.Schema, wanted: pa.Schema, presence_of: str | None) -> pa.Table:
    try:
        with files.open(path) as stream:
            file = pq.ParquetFile(stream, page_checksum_verification=True)
            there = set(file.schema_arrow.names)
            if missing := set(schema.names) - there - LATER_COLUMNS:
                raise ValueError(f"it lacks the columns {', '.join(sorted(missing))}")
            table = file.read([name for name in wanted.names if name in there], use_threads=False)
            for field in wanted:
                if field.name not in there:
                    table = table.append_column(field, pa.nulls(table.num_rows, field.type))
            table = table.select(wanted.names).cast(wanted)
            return table.append_column(f"has_{presence_of}", _presence(file, presence_of)) if presence_of else table
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _fault(files, path, error) from error


def _presence(file: pq.ParquetFile, column: str) -> pa.ChunkedArray:
    """Where a long list column has values, if possible without reading it."""
    leaves = [file.schema.column(i).path.partition(".")[0] for i in range(file.metadata.num_columns)]
    chunks = []
    for group in range(file.metadata.num_row_groups):
        statistics = [
            file.metadata.row_group(group).column(leaves.index(name)).statistics for name in (column, COMPANION[column])
        ]
        known = all(one is not None and one.has_null_count for one in statistics)
        # With as many nulls as its companion, the column is null in the same rows.
        same = known and statistics[0].null_count == statistics[1].null_count
        read = COMPANION[column] if same else column
        chunks += pc.is_valid(file.read_row_group(group, [read], use_threads=False)[read]).chunks
    return pa.chunked_array(chunks, pa.bool_())


def _fault(files: Files, path: str, error: Exception) -> StoreError:
    """The error for a file that could not be read."""
    # Raises here if the file cannot be accessed; otherwise it is damaged.
    files.read(path)
    return files.damaged(path, str(error))
