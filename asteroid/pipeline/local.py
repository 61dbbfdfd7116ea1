"""Run the pipeline in this process and its children: what ``asteroid run`` and :func:`asteroid.run` call.

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
    """Run every step of these molecules and return one outcome each: :func:`asteroid.pipeline.order.run_molecules`.

    Raises:
        asteroid.stopping.Stopped: when it was told to stop; what is finished is in the store.
    """
    with _terminal(console) as show:
        work = _Work(store, molecules, LocalRunner(show))
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


@dataclass
class LocalRunner(Runner):
    """Everything in this process and its children.

    Args:
        show: told how far each step is.
        labelling: steps without torch follow one another, as they use all cores.
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
            raise AsteroidError(f"{title}: something is still missing after {ATTEMPTS} runs; run again to go on")


class _Work:
    """A run in an event loop, which can be stopped from anywhere."""

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
