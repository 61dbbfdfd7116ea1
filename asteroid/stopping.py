"""Handling of Ctrl-C and SIGTERM: the work stops and stores finished results; after a while the program ends anyway.

Installed by the command line. The store is safe if the program is killed, and worker processes end with it
(:mod:`asteroid.processes`).
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
"""s, time to end workers and to store finished labels."""


class Stopped(BaseException):
    """Raised in the main thread after a signal; not an Exception, so that it is not handled as a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_told: list[int] = []
"""Received signals."""

_callbacks: list[Callable[[], object]] = []

_stored = True
"""Whether the results of the command are stored."""


def install() -> None:
    """Handle SIGINT and SIGTERM, unless the caller has set them to be ignored."""
    # After an immediate end, the resource tracker of multiprocessing removes semaphores and would warn about them.
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def store_nothing() -> None:
    """Declare that this command stores no results, for the message when it is stopped."""
    global _stored
    _stored = False


@contextmanager
def on_stop(callback: Callable[[], object]) -> Iterator[None]:
    """In this block, a signal calls ``callback``, which may stop an event loop, instead of raising :class:`Stopped`.

    The block must end by itself after the call; then :class:`Stopped` is raised.
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
    # Not print, because the signal may have interrupted a print.
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
    """End immediately without waiting for threads, with exit code 128 + signal number, as shells do."""
    if sys.stderr.isatty():
        # A progress bar hides the cursor.
        os.write(2, b"\x1b[?25h")
    remove_socket()
    os._exit(128 + number)
