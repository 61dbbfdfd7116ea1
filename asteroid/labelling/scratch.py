"""Folders for the temporary files of label workers: gigabytes, and none is left for ever, whatever is killed."""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
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
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder, _hold(Path(folder)):
        yield folder


def _hold(folder: Path) -> AbstractContextManager[object]:
    """Lock the folder's file. Another campaign that looks just before that takes the folder for abandoned."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            stream = _locked(folder / LOCK)
        except FileNotFoundError:
            continue  # The other campaign has removed the folder.
        except OSError:
            # File systems of some clusters have no locks. Nobody else can lock it either, so nobody removes it.
            return contextlib.nullcontext()
        if stream is not None and (folder / LOCK).exists():
            return stream


def _locked(path: Path) -> IO[bytes] | None:
    """The file, locked until it is closed; None where somebody else has locked it. Raises OSError without locks."""
    stream = path.open("ab")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        if isinstance(error, BlockingIOError):
            return None
        raise
    return stream


def _remove_abandoned() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        # Another user's, or one that somebody else removes as well.
        with contextlib.suppress(OSError):
            stream = _locked(lock)
            if stream is not None:
                with stream:
                    shutil.rmtree(lock.parent, ignore_errors=True)
