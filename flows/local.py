"""Run the ``asteroid`` flow on this machine without a server: what ``asteroid run`` calls.

The same flow as the deployed one, in this process, against a temporary API. Found by the command line through the entry
point ``asteroid.runner``, so that ``asteroid`` itself never imports Prefect.
"""

import asyncio
import logging
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from flows.embedded import temporary_server


def run(manifest: str, store: str | None, *, console: Console) -> list[dict[str, Any]]:
    """Run every stage of a manifest's molecules and return one outcome a molecule.

    Raises:
        AsteroidError: when a molecule could not be finished; everything that was finished is in the store.
    """
    with temporary_server() as api:
        # Before Prefect is imported: it reads its settings once. A server the user has elsewhere is not told of this
        # run.
        for name in [name for name in os.environ if name.startswith("PREFECT_")]:
            del os.environ[name]
        os.environ |= {
            "PREFECT_API_URL": api,
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        from flows import progress
        from flows.full_pipeline import asteroid

        with _terminal(console) as listener:
            if listener is not None:
                progress.LISTENERS.append(listener)
            try:
                return asyncio.run(asteroid(manifest, store))
            finally:
                progress.LISTENERS.clear()


class _ConsoleHandler(logging.Handler):
    """One line a record, however long: a log in a file is searched, not admired."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.getMessage()}"
        self._console.print(line, markup=False, soft_wrap=True)
        if record.exc_info:
            self._console.print("".join(traceback.format_exception(*record.exc_info)), markup=False, soft_wrap=True)


@contextmanager
def _terminal(console: Console) -> Iterator[Any]:
    """Log lines on the console, and live bars below them where it is a terminal."""
    handler = _ConsoleHandler(console)
    loggers = [logging.getLogger(name) for name in ("asteroid", "flows")]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.propagate = False
    try:
        if not console.is_terminal:
            yield None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            tasks: dict[str, TaskID] = {}

            def show(title: str, note: str, done: int, total: int) -> None:
                if title not in tasks:
                    tasks[title] = bars.add_task(title)
                bars.update(
                    tasks[title],
                    completed=done,
                    total=total,
                    description=f"{title} {note}".strip(),
                    visible=done < total,
                )

            yield show
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
