"""Showing how far a stage is: a log line, a progress artifact in Prefect's UI, and whoever listens.

A stage runs in a thread and reports through a plain callback; this module polls what it last said, so that a stage is
never slowed down by an API call.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import httpx
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.exceptions import PrefectException

from asteroid.naming import digest

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

POLL_SECONDS = 2.0
LOG_SECONDS = 20.0

Listener = Callable[[str, str, int, int], None]
"""Called with title, note, done and total; ``done == total`` when the stage has ended."""

LISTENERS: list[Listener] = []
"""The terminal's progress bars, when there is a terminal."""


class StageCancelled(BaseException):
    """Raised in a stage's thread when its flow run was told to end: it keeps what is finished and stops."""


@dataclass
class _Latest:
    """What a stage last reported; written by its thread, read by the event loop."""

    note: str = ""
    done: int = 0
    total: int = 0
    cancelled: bool = False
    phase_started: float = 0.0
    phase_first: int = 0

    def __call__(self, note: str, done: int, total: int) -> None:
        if self.cancelled:
            raise StageCancelled
        if done < self.done or total != self.total:
            # Another phase of the stage: what is left of it is judged by its own pace.
            self.phase_started, self.phase_first = time.monotonic(), done
        self.note, self.done, self.total = note, done, total

    @property
    def percent(self) -> float:
        return 100.0 * self.done / self.total if self.total else 0.0


def artifact_key(*words: str) -> str:
    """A key that Prefect accepts: lower-case letters, digits and single dashes.

    Words that do not consist of these alone could give the key of others, so a hash of them follows.

    >>> artifact_key("labels", "water")
    'labels-water'
    >>> artifact_key("labels", "My_Molecule")
    'labels-my-molecule-d8fb9b15'
    """
    key = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")
    return key if all(re.fullmatch("[a-z0-9]+", word) for word in words) else f"{key}-{digest(words)[:8]}"


async def with_progress(title: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``function(*args, **kwargs, on_progress=…)`` in a thread and show how far it is.

    Args:
        title: names the stage for people; the artifact's key is made from it.
    """
    latest = _Latest()
    call: Callable[..., T] = function
    work = asyncio.create_task(asyncio.to_thread(call, *args, **kwargs, on_progress=latest))
    try:
        await _watch(work, title, latest)
    except BaseException:
        # A thread cannot be cancelled, and Python waits for it before it exits: have it stop by itself.
        latest.cancelled = True
        raise
    return work.result()


async def _watch(work: "asyncio.Task[Any]", title: str, latest: _Latest) -> None:
    """Show progress until the work has ended."""
    logged = time.monotonic()
    artifact: Any = None
    shown = -1.0
    while True:
        finished, _ = await asyncio.wait({work}, timeout=POLL_SECONDS)
        if finished:
            break
        now = time.monotonic()
        for listener in LISTENERS:
            listener(title, latest.note, latest.done, latest.total)
        if latest.total and latest.percent != shown:
            shown = latest.percent
            artifact = await _show(artifact, title, latest)
        if now - logged >= LOG_SECONDS and latest.total:
            logged = now
            log.info(
                "%s: %s%d of %d, %s left",
                title,
                _prefix(latest),
                latest.done,
                latest.total,
                _left(latest, now),
            )
    if artifact is not None and not work.exception():
        latest.done = latest.total
        await _show(artifact, title, latest)
    for listener in LISTENERS:
        listener(title, "", max(latest.total, 1), max(latest.total, 1))


async def _show(artifact: Any, title: str, latest: _Latest) -> Any:
    """Create or update the artifact; a server that is away for a while does not stop the work."""
    description = f"{title}: {_prefix(latest)}{latest.done} of {latest.total}"
    try:
        if artifact is None:
            key = artifact_key("progress", title)
            return await acreate_progress_artifact(latest.percent, key=key, description=description)
        await aupdate_progress_artifact(artifact, latest.percent, description=description)
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("%s: its progress cannot be shown: %s", title, error)
    return artifact


def _prefix(latest: _Latest) -> str:
    return f"{latest.note}, " if latest.note else ""


def _left(latest: _Latest, now: float) -> str:
    """How long the phase that is running will take at its pace so far."""
    done = latest.done - latest.phase_first
    if done <= 0:
        return "unknown time"
    seconds = round((now - latest.phase_started) * (latest.total - latest.done) / done)
    return f"about {seconds // 60}:{seconds % 60:02d}"
