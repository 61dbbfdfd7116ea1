"""Folders of Parquet files that are written once, read as one table, and copied into few large files.

A **member** is a file as it was once written. Members stay where they are and are never changed: a reader that knows
nothing of asteroid and takes whole folders sees each row once, always. No store offers anything else: many files cannot
be replaced by one in a single step, least of all in an object store.

Compaction **copies** the rows of many small members into one large file of the folder ``copies``, whose metadata names
them with their rows and sizes. asteroid reads a copy in place of those members that are there with the same size, so a
copy saves time and decides nothing: it may be damaged, doubled, overtaken or removed, and compactions may be killed or
run side by side. (A lock would let one compaction run at a time, but a reader would still meet rows twice
between the large file's appearance and the small ones' removal, and so for good after a kill. A table format with a
commit log, such as Delta Lake, is right for readers that know the format, and wrong for all that read the folder.)

Version 0.1 moved members into ``<folder>/compacted`` and removed the small files; what lies there is read as it is.
Two compactions at once could leave rows twice there, which the next compaction mends.

Below lie :mod:`asteroid.store.files`; :mod:`asteroid.store` knows what the folders mean.
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
"""Not that of the members, so that no pattern for these finds a copy."""

COMPACTED: Final = "compacted"
"""Folder in which version 0.1 put the members of a folder together."""

MEMBERS_KEY: Final = b"asteroid.members"

COMPACTED_BYTES: Final = 64 * 2**20
"""Of the members in one copy: large for a reader, small beside a machine's memory."""

ROW_GROUP: Final = 50_000
"""Rows that are read at a time where the footer does not tell enough."""

THREADS: Final = 8
"""Files read at once: in an object store each waits for several answers."""

CACHE_BYTES: Final = 64 * 2**20
"""Size of the cache of tables of each open store; a table of more than an eighth of it is not cached."""

RESTARTS: Final = 20
"""A reader starts again when a compaction overtakes it; none can do so this often."""

_caches: "WeakKeyDictionary[Files, TableCache]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Stretch:
    """Successive rows of one file.

    Args:
        rows: None for all of them.
        total: rows of the file, where others belong to other members.
        size: of the file in bytes, where it is a member: of copies, others may come under the same name.
    """

    path: str
    start: int = 0
    rows: int | None = None
    total: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class Member:
    """What a copy says of a member: its name, its rows and its size in bytes (None in files of version 0.1)."""

    name: str
    rows: int
    size: int | None


def unique_name(suffix: str = SUFFIX) -> str:
    """A file name that no other writer uses; later ones of one host sort after earlier ones."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:12]}{suffix}"


def write(files: Files, path: str, table: pa.Table) -> None:
    """Write one file, with checksums that tell its reader of bits that were lost."""
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
    """Where the rows of each member of a folder are, by the member's name and in the order of names.

    Args:
        without: paths of copies that cannot be read.
    """
    # In this order: a small file that compact() removes has its rows in a compacted one.
    own = files.sizes(folder, SUFFIX)
    found: dict[str, Stretch] = {}
    for path in (*compacted_files(files, folder), *copies(files, folder)):
        # One that has gone was overtaken by another compaction: its members are elsewhere.
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
    # In this order: the file may be mended away in between.
    return files.exists(f"{folder}/{name}") or any(
        name == member.name for path in compacted_files(files, folder) for member in readable_contents(files, path)
    )


def count_files(files: Files, folder: str) -> int:
    """How many files a reader of the folder opens."""
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
        keep: filters the rows of each file as it is read, so that the others never take memory together.
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
        # A compacted file may come up several times, between others: it is opened once.
        by_file: dict[str, list[Stretch]] = {}
        for stretch in stretches:
            by_file.setdefault(stretch.path, []).append(stretch)
        try:
            # Files of this machine do not wait for answers: threads would wait for each other.
            with ThreadPoolExecutor(THREADS) if files.local_path("") is None else nullcontext() as pool:
                read_all = pool.map if pool else map
                tables = dict(zip(by_file, read_all(read_stretches, by_file.values()), strict=True))
        except FileNotFoundError:
            continue
        in_order = {path: iter(parts) for path, parts in tables.items()}
        return pa.concat_tables(next(in_order[stretch.path]) for stretch in stretches)
    else:
        raise StoreError(f"{files.location(folder)} changes faster than it can be read; try again")
    empty = wanted.empty_table()
    return empty.append_column(f"has_{presence_of}", pa.array([], pa.bool_())) if presence_of else empty


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same rows in the same order, in as few stretches as possible."""
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
    """The members of a copy or compacted file. Raises FileNotFoundError when it has gone."""
    try:
        with files.open(path) as stream:
            footer = pq.read_metadata(stream)
        contents = [Member(str(name), int(rows), *(size or [None])) for name, rows, *size in _listed(footer)]
        if sum(member.rows for member in contents) != footer.num_rows:
            raise ValueError("it does not hold the rows that it says it does")
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise _fault(files, path, error) from error
    return contents


def _listed(footer: pq.FileMetaData) -> list[list[Any]]:
    listed: list[list[Any]] = json.loads((footer.metadata or {})[MEMBERS_KEY])
    return listed


def readable_contents(files: Files, path: str) -> list[Member]:
    """The same; none for a file that has gone, and for a damaged copy, whose members are there."""
    try:
        return contents_of(files, path)
    except FileNotFoundError:
        return []
    except StoreError:
        if path.startswith(f"{COPIES}/"):
            return []
        raise


class TableCache:
    """The tables read last from one store, up to :data:`CACHE_BYTES`: members never change.

    A run asks for the same labels dozens of times, and most files are small: opening them takes the time.
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
    """The wanted columns of one file. Raises FileNotFoundError when it has gone."""
    if size is None:
        return _read_file(files, path, schema, wanted, presence_of)
    cache = _caches.setdefault(files, TableCache())
    # One that was damaged and moved away may be written anew under its name.
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
    """Where a long list column has a value, if possible without reading it, and one group of rows at a time."""
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
    """What to say of a file that could not be read."""
    # A file whose bytes can be fetched is damaged; one whose bytes cannot raises here what keeps them away.
    files.read(path)
    return files.damaged(path, str(error))
