"""Folders for the temporary files of label workers: gigabytes, and none is left for ever, whatever is killed."""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

PREFIX: Final = "asteroid-labels-"
LOCK: Final = "in-use"
"""A file that the folder's owner keeps locked: the kernel unlocks it, however the owner ends."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """A folder that is removed afterwards; what killed processes have left is removed first.

    Raises:
        OSError: when there is no place for it.
    """
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        lock = Path(folder) / LOCK
        stream = _locked(lock)
        # Whoever looks between its creation and its locking takes it for abandoned.
        while stream is None or not lock.exists():
            Path(folder).mkdir(mode=0o700, exist_ok=True)
            stream = _locked(lock)
        with stream:
            yield folder


def _locked(path: Path) -> IO[bytes] | None:
    """The file, locked until it is closed; None where somebody else has locked it."""
    stream = path.open("ab")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return None
    return stream


def _remove_abandoned() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        # Another user's, or one that somebody else removes as well.
        with contextlib.suppress(OSError):
            stream = _locked(lock)
            if stream is not None:
                with stream:
                    shutil.rmtree(lock.parent, ignore_errors=True)
