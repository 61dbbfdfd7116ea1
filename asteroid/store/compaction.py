"""Compaction: copy the rows of many small files into few large ones, and repair folders of version 0.1.

Called by :mod:`asteroid.store`; :mod:`asteroid.store.tables` reads the copies and explains why small files are kept.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from asteroid.store.files import ABANDONED, UNFINISHED, Files
from asteroid.store.tables import (
    COMPACTED,
    COMPACTED_BYTES,
    COPIES,
    COPY_SUFFIX,
    SUFFIX,
    THREADS,
    Member,
    compacted_files,
    contents_of,
    copies,
    read_file,
    readable_contents,
    unique_name,
    write_members,
)


def compact(files: Files, folder: str, schema: pa.Schema, *, size: int = COMPACTED_BYTES) -> None:
    """Copy small members into few large files. It may be killed, and may run beside writers, readers and compactions.

    Args:
        size: bytes of a large file.

    Raises:
        StoreError: as :func:`~asteroid.store.tables.read`, and when the store cannot be written.
    """
    _mend(files, folder, schema)
    own = files.sizes(folder, SUFFIX)
    kept: dict[str, list[Member]] = {}
    partial: dict[str, list[Member]] = {}
    covered: set[str] = set()
    listed = copies(files, folder)
    for path in listed:
        contents = readable_contents(files, path)
        held = {member.name for member in contents}
        if not held or held & covered or any(own.get(member.name) != member.size for member in contents):
            continue
        if sum(member.size or 0 for member in contents) >= size:
            kept[path] = contents
            covered |= held
        else:
            partial[path] = contents
    for names in _small({name: length for name, length in own.items() if name not in covered}, size):
        there = [path for path, contents in partial.items() if [member.name for member in contents] == names]
        if there:
            kept[there[0]] = partial[there[0]]
            continue
        with ThreadPoolExecutor(THREADS) as pool:
            parts = list(pool.map(lambda name: read_file(files, f"{folder}/{name}", schema, schema), names))
        rows = [[name, part.num_rows, own[name]] for name, part in zip(names, parts, strict=True)]
        write_members(files, f"{COPIES}/{folder}/{unique_name(COPY_SUFFIX)}", pa.concat_tables(parts), rows)
    for path in listed:
        if path not in kept:
            files.remove(path)
    for place in (UNFINISHED, folder, f"{folder}/{COMPACTED}", f"{COPIES}/{folder}"):
        files.remove_unfinished(place, older_than=ABANDONED)


def _mend(files: Files, folder: str, schema: pa.Schema) -> None:
    """Remove duplicate rows from a folder that version 0.1 compacted; the first compacted file with a row keeps it.

    Two processes that do this at once keep the same rows. Each step removes only rows that are elsewhere, too.
    """
    seen: set[str] = set()
    for path in compacted_files(files, folder):
        try:
            contents = contents_of(files, path)
            new = [member.name not in seen for member in contents]
            if not any(new):
                files.remove(path)
                continue
            doubled = not all(new)
            table = read_file(files, path, schema, schema) if doubled or _has_any(files, folder, contents) else None
        except FileNotFoundError:
            continue
        if doubled and table is not None:
            mask = np.repeat(new, [member.rows for member in contents])
            left = [[member.name, member.rows] for member, keep in zip(contents, new, strict=True) if keep]
            write_members(files, path, table.filter(pa.array(mask)), left)
        seen |= {member.name for member in contents}
    with ThreadPoolExecutor(THREADS) as pool:
        obsolete = [name for name in files.sizes(folder, SUFFIX) if name in seen]
        list(pool.map(lambda name: files.remove(f"{folder}/{name}"), obsolete))


def _has_any(files: Files, folder: str, contents: list[Member]) -> bool:
    """Whether small files of these members still exist; they are removed only once the compacted file is readable."""
    own = files.sizes(folder, SUFFIX)
    return any(member.name in own for member in contents)


def _small(sizes: dict[str, int], large: int) -> Iterable[list[str]]:
    """Groups of names of small files; each group becomes one large file."""
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
