"""Files of a store, in a local folder or an object store: atomic writes, and errors that name the file.

:mod:`asteroid.store.tables` keeps Parquet tables in them, :mod:`asteroid.store` everything.
"""

import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from asteroid.errors import InputError, StoreError
from asteroid.store import json_records

UNFINISHED: Final = ".unfinished"
"""Folder of tables that are being written: Polars reads all files of a folder, even hidden ones."""

ABANDONED: Final = 3600.0
"""s after which an unfinished file is taken for abandoned."""

LISTINGS: Final = 10
"""Number of tries to list a folder that appears or disappears at that moment."""

SECRET_IN_URL: Final = (
    "the URL holds a secret key, which logs and Prefect's pages would show; write s3://bucket/prefix and set "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
)

ATTEMPTS: Final = 3
"""Number of tries of the first request to an object store."""


class Files:
    """The files below one URL: a folder, ``file://…`` or ``s3://bucket/prefix``.

    Every method raises :class:`~asteroid.errors.StoreError`, with one line, where the store cannot be reached, read or
    written.

    Raises:
        InputError: when the URL cannot be understood, or holds a secret key: other processes and Prefect get the URL.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        if has_secret(self.url):
            raise InputError(f"store: {SECRET_IN_URL}")
        self.local: Path | None = None
        """The folder on this machine; None in an object store."""
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
            raise InputError(f"store '{self.url}' has no path; write a folder or s3://bucket/prefix")
        self._answered = False
        self._first = _short_timeout(self._patient)
        if isinstance(self._patient, fs.LocalFileSystem):
            self.local = Path(self._root)
            if self.local.is_file():
                raise InputError(f"store '{self.url}' is a file; write a folder or s3://bucket/prefix")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __reduce__(self) -> tuple[type["Files"], tuple[str]]:
        # Another process opens the store by its URL.
        return type(self), (self.url,)

    @property
    def _fs(self) -> fs.FileSystem:
        """The file system with a short timeout until the store has answered once, then the one with a long timeout."""
        return self._patient if self._answered else self._first

    def location(self, path: str) -> str:
        """Path for messages: absolute, or a URL without access keys."""
        if self.local:
            return str(self.local / path)
        scheme, _, place = self.url.partition("?")[0].rstrip("/").partition("://")
        return f"{scheme}://{place.rpartition('@')[2]}/{path}"

    def write(self, path: str, data: bytes) -> None:
        """Write a file atomically; once this returns, it survives a power cut."""
        with self._accessing("write", path):
            if self.local:
                _write_local(self.local / path, data, self.local / UNFINISHED)
            else:
                # Closing an upload completes it, even half written. In a thread, Ctrl-C cannot interrupt it, and
                # leaving the context waits for its end.
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(self._upload, path, data).result()

    def _upload(self, path: str, data: bytes) -> None:
        with self._fs.open_output_stream(f"{self._root}/{path}") as stream:
            stream.write(data)

    def read(self, path: str) -> bytes:
        """Content of a file. Raises FileNotFoundError when there is no such file."""
        with self._accessing("read", path), self._fs.open_input_stream(f"{self._root}/{path}") as stream:
            return bytes(stream.read())

    def open(self, path: str) -> pa.NativeFile:
        """Open a file for random access. Raises FileNotFoundError when there is no such file."""
        with self._accessing("read", path):
            return self._fs.open_input_file(f"{self._root}/{path}")

    def exists(self, path: str) -> bool:
        return bool(self._info(path).type == fs.FileType.File)

    def modified(self, path: str) -> float:
        """Time of the last write, s since 1970 by the clock of the store. Raises FileNotFoundError without the file."""
        info = self._info(path)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(path)
        return float(info.mtime_ns) / 1e9

    def names(self, folder: str) -> list[str]:
        """Sorted names directly below a folder, without unfinished files (leading dot)."""
        return sorted(info.base_name for info in self._entries(folder))

    def sizes(self, folder: str, suffix: str) -> dict[str, int]:
        """Sizes in bytes, by sorted name, of the files directly below a folder whose name has this suffix."""
        found = (info for info in self._entries(folder) if info.type == fs.FileType.File)
        return dict(sorted((info.base_name, info.size) for info in found if info.base_name.endswith(suffix)))

    def remove(self, path: str) -> None:
        """Remove a file if it exists: checkpoints of a finished training, compacted files."""
        with self._accessing("remove", path):
            if self.exists(path):
                # Another process may remove it at the same moment.
                with suppress(FileNotFoundError):
                    self._fs.delete_file(f"{self._root}/{path}")

    def remove_unfinished(self, folder: str, *, older_than: float = 0.0) -> None:
        """Remove unfinished files of killed processes directly below a folder.

        In an object store they are hidden, and removed by the bucket's rules for unfinished uploads.

        Args:
            older_than: s; younger files may still be in use.
        """
        if self.local:
            with self._accessing("clean", folder):
                for path in (self.local / folder).glob(".*.tmp"):
                    with suppress(FileNotFoundError):
                        if time.time() - path.stat().st_mtime >= older_than:
                            path.unlink()

    def write_json(self, path: str, content: dict[str, Any]) -> None:
        """Write a JSON record with its schema and a hash (:mod:`asteroid.store.json_records`)."""
        self.write(path, json_records.to_bytes(_kind(path), content))

    def read_json(self, path: str) -> dict[str, Any]:
        """The content of a JSON record.

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
        """The error for a damaged or foreign file."""
        return StoreError(
            f"{self.location(path)} is damaged or foreign ({_one_line(what)}); "
            "move it out of the store and run again: its content is then made again"
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
                    # The folder was made between two look-ups of Arrow.
                    if not left:
                        raise
        return [info for info in found if not info.base_name.startswith(".")]

    @contextmanager
    def _accessing(self, verb: str, path: str) -> Iterator[None]:
        # Names come from manifests, flow runs and records of the store itself.
        if path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise StoreError(f"cannot {verb} {path!r}: it is outside the store {self.location('')}")
        try:
            yield
            self._answered = True
        except OSError as error:
            if isinstance(error, FileNotFoundError) and verb == "read":
                raise
            raise StoreError(f"cannot {verb} {self.location(path)}: {_one_line(str(error))}") from error


def has_secret(url: str) -> bool:
    """Whether the URL of a store holds a password or a secret key.

    >>> has_secret("s3://key:secret@bucket/prefix"), has_secret("s3://bucket/prefix")
    (True, False)
    """
    try:
        return "://" in url and urlsplit(url).password is not None
    except ValueError:
        return False


def _short_timeout(system: fs.FileSystem) -> fs.FileSystem:
    """The same object store with a timeout of about 13 s instead of 100 s, as its address may be wrong."""
    if not isinstance(system, fs.S3FileSystem):
        return system
    # pyarrow does not read these two options from a URL; its pickled form has the arguments of the constructor.
    (options,) = system.__reduce__()[1]
    return fs.S3FileSystem(
        **{**options, "request_timeout": 3, "retry_strategy": fs.AwsDefaultS3RetryStrategy(max_attempts=ATTEMPTS)}
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _kind(path: str) -> str:
    """Kind of a record: its top folder in the store."""
    return path.partition("/")[0]


def _write_local(final: Path, data: bytes, unfinished: Path) -> None:
    # New folders must reach the disk as well, or a power cut loses the file.
    new_folders = [folder for folder in (final.parent, *final.parent.parents) if not folder.exists()]
    final.parent.mkdir(parents=True, exist_ok=True)
    name = f".{final.name}.{uuid.uuid4().hex[:8]}.tmp"
    temporary = final.with_name(name)
    if final.suffix == ".parquet":
        unfinished.mkdir(exist_ok=True)
        # A file cannot be renamed across file systems.
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
    """Flush the entries of a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
