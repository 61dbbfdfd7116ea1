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

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from asteroid import stages
from asteroid.errors import AsteroidError, StoreError
from asteroid.manifest import MoleculeSettings
from asteroid.pipeline import progress
from asteroid.pipeline.order import Runner, run_molecules
from asteroid.pipeline.progress import Show, show_nothing
from asteroid.pipeline.steps import ATTEMPTS, STEPS, cores, run_step
from asteroid.stopping import on_stop
from asteroid.store import Store

PRICE_SECONDS = 10.0
"""Between two readings of the price so far."""


def run(store: Store, molecules: Sequence[MoleculeSettings], *, console: Console) -> list[dict[str, Any]]:
    """Run every step of these molecules; returns the outcomes of :func:`asteroid.pipeline.order.run_molecules`.

    Raises:
        asteroid.stopping.Stopped: when the run was stopped; finished work is in the store.
    """
    with _terminal(console) as display:
        work = _Work(store, molecules, display)
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

    def __init__(self, store: Store, molecules: Sequence[MoleculeSettings], display: "_Display") -> None:
        self._store, self._molecules, self._display = store, molecules, display
        self.stop: Callable[[], object] = lambda: None

    async def until_stopped(self) -> list[dict[str, Any]]:
        runner = LocalRunner(self._display.show)
        work = asyncio.create_task(run_molecules(self._store, self._molecules, runner))
        price = asyncio.create_task(self._display.follow_price(self._store, self._molecules))
        loop = asyncio.get_running_loop()
        self.stop = lambda: loop.call_soon_threadsafe(work.cancel)
        try:
            with on_stop(self.stop):
                return await work
        finally:
            price.cancel()


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


class _Bars(Progress):
    """Progress bars, and below them a line about the price."""

    price = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.price:
            yield Text(self.price, style="dim")


class _Display:
    """Bars of the steps at work and the price so far, in a terminal; nothing elsewhere."""

    def __init__(self, bars: _Bars | None) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    async def show(self, title: str, note: str, done: int, total: int) -> None:
        """A :data:`asteroid.pipeline.progress.Show`."""
        if self._bars is None:
            return
        if title not in self._tasks:
            self._tasks[title] = self._bars.add_task(title)
        self._bars.update(
            self._tasks[title],
            completed=done,
            total=max(total, 1),
            description=f"{title} {note}".strip(),
            visible=done < total,
        )

    async def follow_price(self, store: Store, molecules: Sequence[MoleculeSettings]) -> None:
        """Renew the price until cancelled."""
        while self._bars is not None:
            began = time.monotonic()
            try:
                spent, quoted = await asyncio.to_thread(stages.price_of_labels, store, molecules)
            except StoreError:
                # The store does not answer for a moment; that concerns only the work itself.
                pass
            else:
                of = "; asteroid plan quotes the whole" if quoted is None else f" of at most {quoted:.3g} quoted"
                self._bars.price = f"labels so far: {spent:.3g} core-hours{of}"
            # Reading a large store takes a while: at most a twentieth of the time.
            await asyncio.sleep(max(PRICE_SECONDS, 20 * (time.monotonic() - began)))


@contextmanager
def _terminal(console: Console) -> Iterator[_Display]:
    """Print log lines on the console; in a terminal, with bars below them instead of lines about progress."""
    handler = _ConsoleHandler(console)
    logger = logging.getLogger("asteroid")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        # Not where only FORCE_COLOR claims a terminal, such as in notebooks.
        if console.file.isatty():
            handler.addFilter(lambda record: record.name != progress.log.name)
            with _Bars(*columns, console=console, transient=True) as bars:
                yield _Display(bars)
        else:
            yield _Display(None)
    finally:
        logger.removeHandler(handler)
