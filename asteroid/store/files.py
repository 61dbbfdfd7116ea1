"""Files of a store, in a local folder or an object store: they appear whole, and every failure names the place.

What the files mean is said above: rows of Parquet in :mod:`asteroid.store.tables`, everything in :mod:`asteroid.store`.
"""

import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import fs

from asteroid.errors import InputError, StoreError
from asteroid.store import json_records

UNFINISHED: Final = ".unfinished"
"""Folder of tables that are being written: Polars reads every file of a folder, hidden or not."""

ABANDONED: Final = 3600.0
"""s after which nobody writes any more to a file that has not been finished."""

LISTINGS: Final = 10
"""Times that a folder is listed which comes or goes at that moment."""

ATTEMPTS: Final = 3
"""Retries of the first request to an object store."""


class Files:
    """The files below one URL: a folder, ``file://…`` or ``s3://bucket/prefix``.

    Every method raises :class:`~asteroid.errors.StoreError`, with one line, where the store cannot be reached, read or
    written.

    Raises:
        InputError: when the URL cannot be understood.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        self._local: Path | None = None
        try:
            if "://" in self.url:
                self._patient, self._root = fs.FileSystem.from_uri(self.url)
            else:
                self._patient, self._root = fs.LocalFileSystem(), str(Path(self.url).expanduser().resolve())
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise InputError(
                f"store '{self.url}' cannot be opened ({error}); write a folder or s3://bucket/prefix"
            ) from None
        if not self._root.strip("/") or not self.url.strip():
            raise InputError(f"store '{self.url}' has no place in it; write a folder or s3://bucket/prefix")
        self._answered = False
        self._first = _impatient(self._patient)
        if isinstance(self._patient, fs.LocalFileSystem):
            self._local = Path(self._root)
            if self._local.is_file():
                raise InputError(f"store '{self.url}' is a file; write a folder or s3://bucket/prefix")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __reduce__(self) -> tuple[type["Files"], tuple[str]]:
        # Another process opens it anew, by its URL.
        return type(self), (self.url,)

    def local_path(self, path: str) -> Path | None:
        """Where a file lies on this machine; None in an object store."""
        return self._local / path if self._local else None

    @property
    def _fs(self) -> fs.FileSystem:
        """One that gives up soon until the store has answered once, then one that bears with it."""
        return self._patient if self._answered else self._first

    def location(self, path: str) -> str:
        """What to tell a person: an absolute path, or a URL without keys that may stand in it."""
        if self._local:
            return str(self._local / path)
        scheme, _, place = self.url.partition("?")[0].rstrip("/").partition("://")
        return f"{scheme}://{place.rpartition('@')[2]}/{path}"

    def write(self, path: str, data: bytes) -> None:
        """Put a file that appears whole or not at all, and survives a power cut once this returns."""
        with self._accessing("write", path):
            if self._local:
                _write_local(self._local / path, data, self._local / UNFINISHED)
            else:
                # An upload that is closed is completed, with whatever had been written. In a thread, Ctrl-C cannot
                # come between opening and writing; leaving the context waits until the object is whole.
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(self._upload, path, data).result()

    def _upload(self, path: str, data: bytes) -> None:
        with self._fs.open_output_stream(f"{self._root}/{path}") as stream:
            stream.write(data)

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError when there is no such file."""
        with self._accessing("read", path), self._fs.open_input_stream(f"{self._root}/{path}") as stream:
            return bytes(stream.read())

    def open(self, path: str) -> pa.NativeFile:
        """A file to read here and there. Raises FileNotFoundError when there is no such file."""
        with self._accessing("read", path):
            return self._fs.open_input_file(f"{self._root}/{path}")

    def exists(self, path: str) -> bool:
        return bool(self._info(path).type == fs.FileType.File)

    def modified(self, path: str) -> float:
        """When a file was written: s since 1970 by the clock of the store. Raises FileNotFoundError without it."""
        info = self._info(path)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(path)
        return float(info.mtime_ns) / 1e9

    def names(self, folder: str) -> list[str]:
        """Names directly below a folder, sorted; unfinished files (a leading dot) left out."""
        return sorted(info.base_name for info in self._entries(folder))

    def sizes(self, folder: str, suffix: str) -> dict[str, int]:
        """Files directly below a folder whose names end so, sorted by name, with their sizes in bytes."""
        found = (info for info in self._entries(folder) if info.type == fs.FileType.File)
        return dict(sorted((info.base_name, info.size) for info in found if info.base_name.endswith(suffix)))

    def remove(self, path: str) -> None:
        """Remove a file if it is there: checkpoints of a finished training, and files that were compacted."""
        with self._accessing("remove", path):
            if self.exists(path):
                # Somebody else may remove it at the same moment.
                with suppress(FileNotFoundError):
                    self._fs.delete_file(f"{self._root}/{path}")

    def remove_unfinished(self, folder: str, *, older_than: float = 0.0) -> None:
        """Remove what killed processes had begun to write directly below a folder.

        An object store keeps such pieces out of sight, until the bucket's own rules for unfinished uploads end them.

        Args:
            older_than: s; younger files may still be written to.
        """
        if self._local:
            with self._accessing("clean", folder):
                for path in (self._local / folder).glob(".*.tmp"):
                    with suppress(FileNotFoundError):
                        if time.time() - path.stat().st_mtime >= older_than:
                            path.unlink()

    def write_json(self, path: str, content: dict[str, Any]) -> None:
        """Write a record; its schema and a hash of its content go with it (:mod:`asteroid.store.json_records`)."""
        self.write(path, json_records.to_bytes(_kind(path), content))

    def read_json(self, path: str) -> dict[str, Any]:
        """The content of a record, as it was written.

        Raises:
            FileNotFoundError: when there is no such file.
            StoreError: when it is damaged or foreign, or was written by a later version of asteroid.
        """
        data = self.read(path)
        try:
            return json_records.from_bytes(_kind(path), data)
        except json_records.NewerRecordError as error:
            raise StoreError(f"{self.location(path)} cannot be read: {error}; install that version") from error
        except ValueError as error:
            raise self.damaged(path, str(error)) from error

    def damaged(self, path: str, what: str) -> StoreError:
        """The error for a file that is cut short, or that something else wrote."""
        return StoreError(
            f"{self.location(path)} is damaged or foreign ({_one_line(what)}); "
            "move it out of the store and run again: what it held is then made again"
        )

    def _info(self, path: str) -> fs.FileInfo:
        with self._accessing("look up", path):
            return self._fs.get_file_info(f"{self._root}/{path}")

    def _entries(self, folder: str) -> list[fs.FileInfo]:
        selector = fs.FileSelector(f"{self._root}/{folder}", allow_not_found=True)
        with self._accessing("list", folder):
            for left in reversed(range(LISTINGS)):
                try:
                    found = self._fs.get_file_info(selector)
                    break
                except FileNotFoundError:
                    # Arrow did not find it, looked again whether it is there, and found it: it has just been made.
                    if not left:
                        raise
        return [info for info in found if not info.base_name.startswith(".")]

    @contextmanager
    def _accessing(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
            self._answered = True
        except OSError as error:
            if isinstance(error, FileNotFoundError) and verb == "read":
                raise
            raise StoreError(f"cannot {verb} {self.location(path)}: {_one_line(str(error))}") from error


def _impatient(system: fs.FileSystem) -> fs.FileSystem:
    """The same object store, given up after about 13 s without an answer instead of 100 s: its address may be wrong."""
    if not isinstance(system, fs.S3FileSystem):
        return system
    # pyarrow reads these two from no URL and lets nobody change them; what it pickles are the arguments it was made of.
    (options,) = system.__reduce__()[1]
    return fs.S3FileSystem(
        **{**options, "request_timeout": 3, "retry_strategy": fs.AwsDefaultS3RetryStrategy(max_attempts=ATTEMPTS)}
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _kind(path: str) -> str:
    """Of a record: the store's folder that it lies in."""
    return path.partition("/")[0]


def _write_local(final: Path, data: bytes, unfinished: Path) -> None:
    # A new folder must reach the disk as well, or a power cut takes the file along with it.
    new_folders = [folder for folder in (final.parent, *final.parent.parents) if not folder.exists()]
    final.parent.mkdir(parents=True, exist_ok=True)
    name = f".{final.name}.{uuid.uuid4().hex[:8]}.tmp"
    temporary = final.with_name(name)
    if final.suffix == ".parquet":
        unfinished.mkdir(exist_ok=True)
        # A folder may be a mount of its own, to which no file can be renamed from elsewhere.
        if unfinished.stat().st_dev == final.parent.stat().st_dev:
            temporary = unfinished / name
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    for folder in (final.parent, *(new.parent for new in new_folders)):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
