"""Run all cells of a comparison, several at once; each result is stored as soon as it is finished.

A comparison that was stopped or killed computes only the missing cells when it is run again; an interrupted training
resumes from its checkpoint. Each cell has its own process with one thread: :mod:`asteroid.comparison.cell`. The result
is the JSON that ``asteroid compare`` writes and :mod:`asteroid.report` makes a page of.
"""

import dataclasses
import datetime as dt
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

from asteroid.comparison.cell import run_cell
from asteroid.comparison.plan import Cell, Plan
from asteroid.comparison.result import Result
from asteroid.comparison.sentences import basis_sentence
from asteroid.comparison.summary import summarise, summary_lines
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory
from asteroid.naming import content, digest, file_digest
from asteroid.processes import call_in_process
from asteroid.stages.common import TORCH_IMPORTS, label_key
from asteroid.store import Store, paths, records
from asteroid.strategies import strategy_named
from asteroid.version import __version__

logger = logging.getLogger(__name__)

Follow = Callable[[int, int, str], None]
"""Called with the number of finished cells, the number of all cells, and the current step."""


class _Stopped(AsteroidError):
    """Stops the processes of unfinished cells when the comparison ends."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result of a comparison.

    Args:
        data: the JSON that ``asteroid compare`` writes.
        broken: number of cells that failed for a reason other than the data; another run tries them again.
    """

    data: dict[str, Any]
    broken: int


def run_comparison(store: Store, plan: Plan, *, workers: int, on_progress: Follow | None = None) -> Outcome:
    """Train and test the cells that the store lacks, and summarise all cells.

    Args:
        workers: number of processes, one thread each.
    """
    paths = dict(zip(plan.cells, result_paths(store, plan), strict=True))
    results = {cell: records.read(store, Result, path) for cell, path in paths.items() if store.exists(path)}
    missing = [cell for cell in plan.cells if cell not in results]
    logger.info("%s: %d of %d results are there", plan.settings.molecule, len(results), len(plan.cells))
    broken = 0
    stopped = threading.Event()

    def follow(note: str = "") -> None:
        if on_progress:
            on_progress(len(results), len(plan.cells), note)

    def run(cell: Cell) -> Result:
        def hear(note: str, step: int, steps: int) -> None:
            if stopped.is_set():
                raise _Stopped
            follow(f"{cell}: {note}" + (f" {step} of {steps}" if steps else ""))

        if stopped.is_set():
            raise _Stopped
        return call_in_process(
            run_cell,
            store.url,
            plan.settings,
            cell,
            plan.test,
            paths[cell],
            on_progress=hear,
            preload=TORCH_IMPORTS,
        )

    follow()
    with ThreadPoolExecutor(workers, thread_name_prefix="comparison") as pool:
        try:
            running: dict[Future[Result], Cell] = {pool.submit(run, cell): cell for cell in missing}
            for future in as_completed(running):
                cell = running[future]
                try:
                    results[cell] = future.result()
                except Exception as error:  # A cell that fails must not stop the others.
                    logger.warning("%s: %s", cell, error)
                    reason = " ".join((str(error) or type(error).__name__).split())
                    results[cell] = dataclasses.replace(Result.blank(plan.settings, cell), reason=reason)
                    broken += 1
                follow()
        finally:
            # On an interrupt, too: the next run resumes from the checkpoints.
            stopped.set()
    ordered = [results[cell] for cell in _in_order(plan)]
    return Outcome(_data(store, plan, ordered), broken)


def result_paths(store: Store, plan: Plan) -> list[str]:
    """Path of the result of each cell, named by a digest of everything that determines it."""
    settings = plan.settings
    keys = {
        level: {i: label_key(label) for i, label in store.labels(settings.molecule, level).items()}
        for level in (settings.accurate, settings.cheap)
    }
    foundation = settings.training.foundation
    common = {
        "levels": [str(settings.cheap), str(settings.accurate)],
        "training": content(settings.training, exclude={"strategy", "seed", "device", "foundation"}),
        "foundation": file_digest(foundation) if foundation else None,
        "test": [[keys[settings.accurate][i], keys[settings.cheap][i]] for i in sorted(plan.test)],
    }
    ladder = [
        [label_key(label) for _, label in sorted(store.labels(settings.molecule, level).items())]
        for level in (LevelOfTheory.parse(text, imported=True) for text in settings.training.ladder)
    ]
    files = []
    for cell in plan.cells:
        inputs = {
            "common": common,
            "arm": cell.variant,
            "seed": cell.seed,
            "accurate": [[keys[level][i] for i in sorted(ids)] for level in keys for ids in (cell.train, cell.valid)],
            "cheap": [keys[settings.cheap][i] for i in sorted(cell.cheap)],
            "ladder": ladder if "ladder" in strategy_named(cell.variant).reads else [],
        }
        files.append(paths.comparison(settings.molecule, digest(inputs)))
    return files


def _in_order(plan: Plan) -> Sequence[Cell]:
    """Cells in the order of the settings: by variant, number of labels and seed."""
    settings = plan.settings
    return sorted(
        plan.cells, key=lambda c: (settings.variants.index(c.variant), c.n_accurate, settings.seeds.index(c.seed))
    )


def _data(store: Store, plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    """The JSON that ``asteroid compare`` writes."""
    settings = plan.settings
    lines = summary_lines(results)
    said = {
        "molecule": settings.molecule,
        "cheap": str(settings.cheap),
        "accurate": str(settings.accurate),
        "arms": list(settings.variants),
        "n_accurate": list(settings.n_accurate),
        "seeds": list(settings.seeds),
        "valid_fraction": settings.valid_fraction,
        "test_frames": len(plan.test),
        "test_groups": max((len(result.energy_groups) for result in results), default=0),
        "cheap_frames": max(len(cell.cheap) for cell in plan.cells),
        "training": settings.training.model_dump(mode="json", exclude={"strategy", "seed"}),
        "notes": list(plan.notes),
        "store": store.location("").rstrip("/"),
        "asteroid_version": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    return {"settings": said, "basis": basis_sentence(lines), **summarise(results)}
