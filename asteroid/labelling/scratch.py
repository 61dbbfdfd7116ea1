"""Folders for the temporary files of label workers; those of killed campaigns are removed by the next one."""

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
"""File that the owner of the folder keeps locked; the kernel unlocks it when the owner ends."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """A folder that is removed afterwards; folders of killed processes are removed first.

    Raises:
        OSError: when it cannot be made.
    """
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder, _hold(Path(folder)):
        yield folder


def _hold(folder: Path) -> AbstractContextManager[object]:
    """Lock the folder's file. Until then another campaign may remove the folder as abandoned."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            stream = _locked(folder / LOCK)
        except FileNotFoundError:
            continue  # The other campaign has removed the folder.
        except OSError:
            # Some file systems of clusters have no locks. Nobody else can lock the file either, so nobody removes it.
            return contextlib.nullcontext()
        if stream is not None and (folder / LOCK).exists():
            return stream


def _locked(path: Path) -> IO[bytes] | None:
    """The file, locked until it is closed; None where another process has locked it. Raises OSError without locks."""
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
        # The folder may be another user's, or another process removes it, too.
        with contextlib.suppress(OSError):
            stream = _locked(lock)
            if stream is not None:
                with stream:
                    shutil.rmtree(lock.parent, ignore_errors=True)
