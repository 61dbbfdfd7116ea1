"""Folders of Parquet files that are written once, read as one table, and compacted.

A **member** is what was once written as a file of its own. Compaction copies many small members into one large file,
whose metadata names them with their rows, in the folder ``compacted`` beside them; only then are the small files
removed. A reader takes each member once, wherever it finds it, so that it sees the same rows before, during and after a
compaction, and after one that was killed at any point or ran twice at once:

- Members are listed before compacted files: a member that a compaction has removed before the first listing came to it
  stands in a compacted file that the second one sees. Compacted files are never changed, merged or removed.
- A member that is there twice, as a file and in a compacted one or in two of these, is taken from the first compacted.
- A file that has gone between listing and reading has been compacted: the reader starts again.

Below lie :mod:`asteroid.files`; :mod:`asteroid.store` knows what the folders mean.
"""

import datetime as dt
import io
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asteroid.errors import StoreError
from asteroid.files import Files
from asteroid.records import COMPANION, LATER_COLUMNS

SUFFIX: Final = ".parquet"
COMPACTED: Final = "compacted"
MEMBERS_KEY: Final = b"asteroid.members"

COMPACTED_BYTES: Final = 64 * 2**20
"""A compacted file is closed at this size: large for a reader, small beside a machine's memory."""

ROW_GROUP: Final = 50_000
"""Rows that are read at a time where the footer does not tell enough."""

THREADS: Final = 8
"""Files read at once: in an object store each waits for several answers."""

RESTARTS: Final = 20
"""A reader starts again when a compaction overtakes it; none can do so this often."""


@dataclass(frozen=True)
class Stretch:
    """Successive rows of one file; ``rows`` is None for all of them."""

    path: str
    start: int = 0
    rows: int | None = None


def unique_name() -> str:
    """A file name that no other writer uses; later ones sort after earlier ones."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:12]}{SUFFIX}"


def write(files: Files, path: str, table: pa.Table) -> None:
    """Write one file, with checksums that tell its reader of bits that were lost."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=ROW_GROUP, write_page_checksum=True)
    files.write(path, buffer.getvalue())


def members(files: Files, folder: str) -> dict[str, Stretch]:
    """Where the rows of each member of a folder are, by the member's name and in the order of names."""
    own = files.sizes(folder, SUFFIX)
    found: dict[str, Stretch] = {}
    for path in _compacted(files, folder):
        start = 0
        for member, rows in _contents(files, path):
            found.setdefault(member, Stretch(path, start, rows))
            start += rows
    for name in own:
        found.setdefault(name, Stretch(f"{folder}/{name}"))
    return dict(sorted(found.items()))


def has_member(files: Files, folder: str, name: str) -> bool:
    # In this order: the file may be compacted in between.
    return files.exists(f"{folder}/{name}") or any(
        name == member for path in _compacted(files, folder) for member, _ in _contents(files, path)
    )


def count_files(files: Files, folder: str) -> int:
    return len(files.sizes(folder, SUFFIX)) + len(_compacted(files, folder))


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
        schema: of every file; of the columns in :data:`~asteroid.records.LATER_COLUMNS` some files may know nothing.
        columns: to be read, all by default.
        presence_of: a column of :data:`~asteroid.records.COMPANION`; the boolean column ``has_<name>`` then says where
            it has a value.
        keep: filters the rows of each file as it is read, so that the others never take memory together.
        only: the name of the one member that is wanted.

    Raises:
        StoreError: for a file that cannot be reached, is damaged, or holds something else; the message names it.
    """
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])

    def read_stretches(stretches: Sequence[Stretch]) -> list[pa.Table]:
        table = _read_file(files, stretches[0].path, schema, wanted, presence_of)
        parts = [table.slice(stretch.start, stretch.rows) for stretch in stretches]
        return [keep(part) for part in parts] if keep else parts

    for _ in range(RESTARTS):
        found = members(files, folder)
        stretches = _joined(found.values() if only is None else [found[only]] if only in found else [])
        if not stretches:
            break
        # A compacted file may come up several times, between others: it is opened once.
        by_file: dict[str, list[Stretch]] = {}
        for stretch in stretches:
            by_file.setdefault(stretch.path, []).append(stretch)
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                tables = dict(zip(by_file, pool.map(read_stretches, by_file.values()), strict=True))
        except FileNotFoundError:
            continue
        in_order = {path: iter(parts) for path, parts in tables.items()}
        return pa.concat_tables(next(in_order[stretch.path]) for stretch in stretches)
    else:
        raise StoreError(f"{files.location(folder)} changes faster than it can be read; try again")
    empty = wanted.empty_table()
    return empty.append_column(f"has_{presence_of}", pa.array([], pa.bool_())) if presence_of else empty


def compact(files: Files, folder: str, schema: pa.Schema, *, size: int = COMPACTED_BYTES) -> None:
    """Copy small files into few large ones and remove them; may be killed, and may run beside writers and readers.

    Args:
        size: bytes at which a file counts as large.

    Raises:
        StoreError: as :func:`read`, and when the store cannot be written.
    """
    for path in _compacted(files, folder):
        _remove_members(files, folder, path, schema)
    for names in _small(files.sizes(folder, SUFFIX), size):
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                parts = list(pool.map(lambda name: _read_file(files, f"{folder}/{name}", schema, schema), names))
        except FileNotFoundError:
            continue  # Another compaction is at work here.
        contents = json.dumps([[name, part.num_rows] for name, part in zip(names, parts, strict=True)])
        path = f"{folder}/{COMPACTED}/{unique_name()}"
        write(files, path, pa.concat_tables(parts).replace_schema_metadata({MEMBERS_KEY: contents}))
        _remove_members(files, folder, path, schema)


def _remove_members(files: Files, folder: str, path: str, schema: pa.Schema) -> None:
    """Remove the files whose rows a compacted one holds, once that has been read back whole."""
    contents = _contents(files, path)
    own = files.sizes(folder, SUFFIX)
    obsolete = [name for name, _ in contents if name in own]
    if not obsolete:
        return
    if _read_file(files, path, schema, schema).num_rows != sum(rows for _, rows in contents):
        raise files.damaged(path, "it does not hold the rows that it says it does")
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda name: files.remove(f"{folder}/{name}"), obsolete))


def _small(sizes: dict[str, int], large: int) -> Iterable[list[str]]:
    """Names of small files in groups, each of which makes one large file."""
    group: list[str] = []
    total = 0
    for name, size in sizes.items():
        if size >= large // 2:
            continue
        group.append(name)
        total += size
        if total >= large:
            yield group
            group, total = [], 0
    if len(group) > 1:
        yield group


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same rows in the same order, in as few stretches as possible."""
    joined: list[Stretch] = []
    for stretch in stretches:
        last = joined[-1] if joined else None
        if last and last.rows is not None and (last.path, last.start + last.rows) == (stretch.path, stretch.start):
            joined[-1] = Stretch(last.path, last.start, last.rows + (stretch.rows or 0))
        else:
            joined.append(stretch)
    return joined


def _compacted(files: Files, folder: str) -> list[str]:
    return [f"{folder}/{COMPACTED}/{name}" for name in files.sizes(f"{folder}/{COMPACTED}", SUFFIX)]


def _contents(files: Files, path: str) -> list[tuple[str, int]]:
    """Names and numbers of rows of the members of a compacted file."""
    try:
        with files.open(path) as stream:
            metadata = pq.read_metadata(stream).metadata or {}
        return [(str(name), int(rows)) for name, rows in json.loads(metadata[MEMBERS_KEY])]
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise _fault(files, path, error) from error


def _read_file(
    files: Files, path: str, schema: pa.Schema, wanted: pa.Schema, presence_of: str | None = None
) -> pa.Table:
    """The wanted columns of one file. Raises FileNotFoundError when it has gone."""
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
