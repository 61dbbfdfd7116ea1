"""Run the pipeline in this process, without Prefect: what ``asteroid run`` calls.

Found by the command line through the entry point ``asteroid.runner``. The same steps in the same order as the deployed
flow (:mod:`flows.pipeline`), on a :class:`~flows.site.LocalSite`.
"""

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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

from asteroid.manifest import MoleculeSettings
from asteroid.stopping import on_stop
from asteroid.store import Store
from flows.pipeline import run_molecules
from flows.progress import Show, show_nothing
from flows.site import LocalSite


def run(store: Store, molecules: Sequence[MoleculeSettings], *, console: Console) -> list[dict[str, Any]]:
    """Run every stage of these molecules and return one outcome each, as :func:`flows.pipeline.run_molecules`.

    Raises:
        asteroid.stopping.Stopped: when it was told to stop; what is finished is in the store.
    """
    with _terminal(console) as show:
        work = _Work(store, molecules, LocalSite(show))
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(work.until_stopped())
        # A notebook has a loop already, and this one gets a thread.
        with ThreadPoolExecutor(1, "asteroid-run") as threads:
            finished = threads.submit(asyncio.run, work.until_stopped())
            try:
                return finished.result()
            except BaseException:
                # The notebook's stop button: what this has started ends before the notebook goes on.
                with contextlib.suppress(RuntimeError):  # of a loop that has ended by itself
                    work.stop()
                raise


class _Work:
    """A run in an event loop, which can be stopped from anywhere."""

    def __init__(self, store: Store, molecules: Sequence[MoleculeSettings], site: LocalSite) -> None:
        self._arguments = store, molecules, site
        self.stop: Callable[[], object] = lambda: None

    async def until_stopped(self) -> list[dict[str, Any]]:
        work = asyncio.create_task(run_molecules(*self._arguments))
        loop = asyncio.get_running_loop()
        self.stop = lambda: loop.call_soon_threadsafe(work.cancel)
        with on_stop(self.stop):
            return await work


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
def _terminal(console: Console) -> Iterator[Show]:
    """Log lines on the console, and live bars below them where it is a terminal."""
    handler = _ConsoleHandler(console)
    loggers = [logging.getLogger(name) for name in ("asteroid", "flows")]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.propagate = False
    try:
        if not console.is_terminal:
            yield show_nothing
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

            async def show(title: str, note: str, done: int, total: int) -> None:
                if title not in tasks:
                    tasks[title] = bars.add_task(title)
                bars.update(
                    tasks[title],
                    completed=done,
                    total=max(total, 1),
                    description=f"{title} {note}".strip(),
                    visible=done < total,
                )

            yield show
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
