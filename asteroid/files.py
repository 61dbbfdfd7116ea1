"""Files of a store, in a local folder or an object store: they appear whole, and every failure names the place.

What the files mean is said above: rows of Parquet in :mod:`asteroid.tables`, everything in :mod:`asteroid.store`.
"""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from asteroid.errors import InputError, StoreError


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
                self._fs, self._root = fs.FileSystem.from_uri(self.url)
            else:
                self._fs, self._root = fs.LocalFileSystem(), str(Path(self.url).expanduser().resolve())
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise InputError(
                f"store '{self.url}' cannot be opened ({error}); write a folder or s3://bucket/prefix"
            ) from None
        if not self._root.strip("/") or not self.url.strip():
            raise InputError(f"store '{self.url}' has no place in it; write a folder or s3://bucket/prefix")
        if isinstance(self._fs, fs.LocalFileSystem):
            self._local = Path(self._root)
            if self._local.is_file():
                raise InputError(f"store '{self.url}' is a file; write a folder or s3://bucket/prefix")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def local_path(self, path: str) -> Path | None:
        """Where a file lies on this machine; None in an object store."""
        return self._local / path if self._local else None

    def location(self, path: str) -> str:
        """What to tell a person: an absolute path, or a URL."""
        return str(self._local / path) if self._local else f"{self.url.partition('?')[0].rstrip('/')}/{path}"

    def write(self, path: str, data: bytes) -> None:
        """Put a file that appears whole or not at all, and survives a power cut once this returns."""
        with self._accessing("write", path):
            if self._local:
                _write_local(self._local / path, data)
            else:
                # An object appears when its upload is completed, never before.
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

    def remove_unfinished(self, folder: str) -> None:
        """Remove what killed processes had begun to write directly below a folder that nobody writes to any more.

        An object store keeps such pieces out of sight, until the bucket's own rules for unfinished uploads end them.
        """
        if self._local:
            with self._accessing("clean", folder):
                for path in (self._local / folder).glob(".*.tmp"):
                    path.unlink(missing_ok=True)

    def write_json(self, path: str, content: Any) -> None:
        self.write(path, (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())

    def read_json(self, path: str) -> Any:
        """A JSON object. Raises FileNotFoundError when there is no such file."""
        try:
            content = json.loads(self.read(path))
        except ValueError as error:
            raise self.damaged(path, str(error)) from error
        if not isinstance(content, dict):
            raise self.damaged(path, "it holds no JSON object")
        return content

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
        with self._accessing("list", folder):
            found = self._fs.get_file_info(fs.FileSelector(f"{self._root}/{folder}", allow_not_found=True))
        return [info for info in found if not info.base_name.startswith(".")]

    @contextmanager
    def _accessing(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and verb == "read":
                raise
            raise StoreError(f"cannot {verb} {self.location(path)}: {_one_line(str(error))}") from error


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _write_local(final: Path, data: bytes) -> None:
    # A new folder must reach the disk as well, or a power cut takes the file along with it.
    new_folders = [folder for folder in (final.parent, *final.parent.parents) if not folder.exists()]
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.tmp")
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
