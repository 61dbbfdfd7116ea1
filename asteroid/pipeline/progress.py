"""Progress of a step: log lines, and bars in a terminal or an artifact in Prefect's UI.

A step runs in a thread and reports through a callback. This module polls the last report, so that a slow display never
delays a step.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

POLL_SECONDS = 2.0
LOG_SECONDS = 20.0
"""Least time between two log lines about a step."""

LONGEST_SILENCE = 600.0
"""Time after which a step that hardly gets on has a log line."""

LOGGED_PART = 0.1
"""Part of a step's work that is worth a log line."""

Show = Callable[[str, str, int, int], Awaitable[None]]
"""Awaited with title, note, done and total: ``done == total`` for a finished step, both 0 for a failed one."""


async def show_nothing(_title: str, _note: str, _done: int, _total: int) -> None:
    """A :data:`Show` without a display."""


class StepCancelled(BaseException):
    """Raised in the thread of a step when the run was stopped; finished work is kept."""


@dataclass
class _Latest:
    """The last report of a step; written by its thread, read by the event loop."""

    note: str = ""
    done: int = 0
    total: int = 0
    cancelled: bool = False
    phase_started: float = 0.0
    phase_first: int = 0

    def __call__(self, note: str, done: int, total: int) -> None:
        if self.cancelled:
            raise StepCancelled
        if done < self.done or total != self.total:
            # A new phase of the step: its remaining time follows from its own pace.
            self.phase_started, self.phase_first = time.monotonic(), done
        self.note, self.done, self.total = note, done, total


async def with_progress(show: Show, title: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``function(*args, **kwargs, on_progress=…)`` in a thread and show its progress.

    Args:
        show: called every few seconds.
        title: of the step, as shown to users.
    """
    latest = _Latest()
    call: Callable[..., T] = function
    work = asyncio.create_task(asyncio.to_thread(call, *args, **kwargs, on_progress=latest))
    try:
        await _watch(work, show, title, latest)
    except BaseException:
        # A thread cannot be cancelled, and Python waits for it at exit, so its next report stops it.
        latest.cancelled = True
        raise
    return work.result()


async def _watch(work: "asyncio.Task[Any]", show: Show, title: str, latest: _Latest) -> None:
    """Show progress until the work has finished."""
    logged, logged_part = time.monotonic(), 0.0
    while True:
        finished, _ = await asyncio.wait({work}, timeout=POLL_SECONDS)
        if finished:
            break
        if not latest.total:
            continue
        now = time.monotonic()
        await show(title, latest.note, latest.done, latest.total)
        part, silence = latest.done / latest.total, now - logged
        gets_on = abs(part - logged_part) >= LOGGED_PART
        if silence >= LONGEST_SILENCE or (gets_on and silence >= LOG_SECONDS):
            logged, logged_part = now, part
            note = f"{latest.note}, " if latest.note else ""
            log.info("%s: %s%d of %d, %s left", title, note, latest.done, latest.total, _left(latest, now))
    if latest.total:
        total = 0 if work.exception() else latest.total
        await show(title, latest.note, total, total)


def _left(latest: _Latest, now: float) -> str:
    """Remaining time of the present phase at its pace so far."""
    done = latest.done - latest.phase_first
    if done <= 0:
        return "unknown time"
    seconds = round((now - latest.phase_started) * (latest.total - latest.done) / done)
    return f"about {seconds // 60}:{seconds % 60:02d}"
