"""Computing time of work without another record of its cost: sampling, exploration, MD, scans, minima, start-up.

Labels have their cost in the ledger and trainings in their cards; :mod:`asteroid.report.cost` adds everything up. Each
process rewrites one small file as it runs; a kill loses the time since the last write.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, get_args

from asteroid.errors import StoreError
from asteroid.store import paths, records
from asteroid.store.files import Files
from asteroid.usage import Usage, measure

Stage = Literal["sampling", "training", "exploration", "validation"]

STAGES: tuple[Stage, ...] = get_args(Stage)

SAVE_SECONDS = 10.0
"""Seconds between two writes of a running entry."""

LEAST_SECONDS = 0.01
"""Smaller entries are not written: checking that nothing is missing costs as much."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Charge:
    """Computing time of one process for a stage, as stored.

    Args:
        model_id: of the model it was used for, if it was a single one.
        gpu_seconds: during which a GPU was held.
    """

    stage: Stage
    model_id: str | None
    cpu_seconds: float
    gpu_seconds: float
    wall_seconds: float


class Entry:
    """Computing time of one process for a stage.

    Args:
        model_id: see :class:`Charge`.
        used: by this process; :meth:`add` the time of child processes.
    """

    def __init__(self, files: Files, molecule: str, stage: Stage, used: Usage, *, own: bool) -> None:
        self.model_id: str | None = None
        self.used = used
        self._files, self._stage, self._own = files, stage, own
        self._path = f"{paths.costs(molecule)}/{stage}-{uuid.uuid4().hex}.json"
        self._saved = time.monotonic()

    def add(self, used: Usage) -> None:
        """Add the computing time of a child process."""
        self.used.add_earlier(used.wall, used.cpu, used.gpu)

    def use_device(self, device: str) -> None:
        """Count time on this device from now on."""
        self.used.update().device = device

    def save(self) -> None:
        """Write the entry."""
        self._saved = time.monotonic()
        used = self.used.update() if self._own else self.used
        if max(used.cpu, used.gpu) < LEAST_SECONDS:
            return
        records.write(self._files, self._path, Charge(self._stage, self.model_id, used.cpu, used.gpu, used.wall))

    def save_sometimes(self) -> None:
        """Write the entry if the last write was :data:`SAVE_SECONDS` ago."""
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save()

    def following(self, on_progress: Progress | None) -> Progress:
        """A progress callback that also writes the entry."""

        def follow(note: str, done: int, of: int) -> None:
            self.save_sometimes()
            if on_progress:
                on_progress(note, done, of)

        return follow


@contextmanager
def charge(files: Files, molecule: str, stage: Stage, *, own: bool = True) -> Iterator[Entry]:
    """Charge the computing time of a ``with`` block to a stage, except trainings, which have their own records.

    Args:
        own: False to charge only the time of child processes.
    """
    with measure() as used:
        entry = Entry(files, molecule, stage, used if own else Usage(), own=own)
        try:
            yield entry
        except BaseException:
            # Failing to write must not hide the error.
            with suppress(StoreError):
                entry.save()
            raise
        entry.save()


def spent(files: Files, molecule: str) -> list[Charge]:
    """All entries of a molecule."""
    folder = paths.costs(molecule)
    return [records.read(files, Charge, f"{folder}/{name}") for name in files.names(folder)]
