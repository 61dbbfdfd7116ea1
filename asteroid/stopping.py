"""Ctrl-C and SIGTERM: the work is told to stop and keeps what is finished; after a while the program ends regardless.

Installed by the command line. Whatever stands in the store is safe against being killed, and worker processes end with
the program (:mod:`asteroid.processes`), so nothing is waited for longer than :data:`GRACE`.
"""

import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from asteroid.processes import remove_socket

GRACE = 10.0
"""s that the work has to stop by itself: to end workers and to write the labels that are finished."""


class Stopped(BaseException):
    """The program was told to stop; raised in the main thread. No Exception, so that nobody takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_told: list[int] = []
"""Signals that have come."""

_callbacks: list[Callable[[], object]] = []

_stored = True
"""Whether the command finds its results again when it is run again."""


def install() -> None:
    """Handle SIGINT and SIGTERM from now on; one that the caller has this program ignore stays ignored."""
    # A program that ends at once leaves semaphores to multiprocessing's tracker, which removes them and warns of it.
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def store_nothing() -> None:
    """Say of this command that what it computes is gone when it is stopped."""
    global _stored
    _stored = False


@contextmanager
def on_stop(callback: Callable[[], object]) -> Iterator[None]:
    """Have a signal call this instead of raising :class:`Stopped` at once: an event loop is better told to stop.

    The block is expected to end by itself then; that raises :class:`Stopped`.
    """
    _callbacks.append(callback)
    try:
        yield
    finally:
        _callbacks.remove(callback)
        if _told:
            raise Stopped(_told[0])


def _stop(number: int, _frame: types.FrameType | None) -> None:
    if _told:
        end(number)
    _told.append(number)
    # Not print: the signal may have come in the middle of one.
    os.write(2, f"\nstopped; {'run the same command again to go on' if _stored else 'nothing was stored'}\n".encode())
    threading.Thread(target=_end_later, args=(number,), name="asteroid-stopping", daemon=True).start()
    if not _callbacks:
        raise Stopped(number)
    for callback in _callbacks:
        callback()


def _end_later(number: int) -> None:
    time.sleep(GRACE)
    end(number)


def end(number: int) -> NoReturn:
    """End at once, without waiting for threads, with the exit code that shells give to a signal: 128 and its number."""
    if sys.stderr.isatty():
        # A progress bar hides the cursor.
        os.write(2, b"\x1b[?25h")
    remove_socket()
    os._exit(128 + number)
