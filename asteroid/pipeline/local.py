"""Run the pipeline in this process and its children, for ``asteroid run`` and :func:`asteroid.run`.

:class:`LocalRunner` runs the steps of :mod:`asteroid.pipeline.steps` in the order of :mod:`asteroid.pipeline.order`.
"""

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
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

from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.pipeline.order import Runner, run_molecules
from asteroid.pipeline.progress import Show, show_nothing
from asteroid.pipeline.steps import ATTEMPTS, STEPS, cores, run_step
from asteroid.stopping import on_stop
from asteroid.store import Store


def run(store: Store, molecules: Sequence[MoleculeSettings], *, console: Console) -> list[dict[str, Any]]:
    """Run every step of these molecules; returns the outcomes of :func:`asteroid.pipeline.order.run_molecules`.

    Raises:
        asteroid.stopping.Stopped: when the run was stopped; finished work is in the store.
    """
    with _terminal(console) as show:
        work = _Work(store, molecules, LocalRunner(show))
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(work.until_stopped())
        # A notebook already runs an event loop, so this one runs in a thread.
        with ThreadPoolExecutor(1, "asteroid-run") as threads:
            finished = threads.submit(asyncio.run, work.until_stopped())
            try:
                return finished.result()
            except BaseException:
                # The notebook's stop button: end all child processes before the notebook continues.
                with contextlib.suppress(RuntimeError):  # if the loop has already ended
                    work.stop()
                raise


@dataclass
class LocalRunner(Runner):
    """Runs every step in this process and its children.

    Args:
        show: called with the progress of each step.
        labelling: steps without torch run one at a time, because they use all cores.
        training: steps with torch use one core each.
    """

    show: Show = show_nothing
    labelling: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    training: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(cores()))

    async def run(
        self, name: str, store: Store, molecule: MoleculeSettings, *, occasion: str = "", **parameters: Any
    ) -> None:
        step = STEPS[name]
        for _ in range(ATTEMPTS):
            if not await asyncio.to_thread(step.lacks, store, molecule, **parameters):
                return
            async with self.training if step.torch else self.labelling:
                await run_step(step, store, molecule, parameters, show=self.show)
            if step.once:
                return
        if await asyncio.to_thread(step.lacks, store, molecule, **parameters):
            title = step.title(molecule, **parameters)
            raise AsteroidError(f"{title}: results are still missing after {ATTEMPTS} runs; run again to continue")


class _Work:
    """A run in an event loop that can be stopped from another thread."""

    def __init__(self, store: Store, molecules: Sequence[MoleculeSettings], runner: Runner) -> None:
        self._arguments = store, molecules, runner
        self.stop: Callable[[], object] = lambda: None

    async def until_stopped(self) -> list[dict[str, Any]]:
        work = asyncio.create_task(run_molecules(*self._arguments))
        loop = asyncio.get_running_loop()
        self.stop = lambda: loop.call_soon_threadsafe(work.cancel)
        with on_stop(self.stop):
            return await work


class _ConsoleHandler(logging.Handler):
    """Prints each log record on one line, so that log files can be searched."""

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
    """Print log lines on the console, with progress bars below them in a terminal."""
    handler = _ConsoleHandler(console)
    logger = logging.getLogger("asteroid")
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
        logger.removeHandler(handler)
