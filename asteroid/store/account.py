"""The account of work that has no other record of its cost: sampling, exploration, MD, scans, minima, starting up.

Labels have their rows in the ledger and trainings their cards; everything else that a process of a stage uses is
charged here, so that the sum is the bill (:mod:`asteroid.report.cost`). Each process has one small file, which it
writes anew as it goes on: a kill loses what was used since.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal, cast, get_args

from asteroid.errors import StoreError
from asteroid.store import paths
from asteroid.store.files import Files
from asteroid.usage import Usage, measure

Stage = Literal["sampling", "training", "exploration", "validation"]

STAGES: tuple[Stage, ...] = get_args(Stage)

SAVE_SECONDS = 10.0
"""Between two writings of a running entry."""

LEAST_SECONDS = 0.01
"""Less is not written down: looking that everything is there costs as much."""

Progress = Callable[[str, int, int], None]


class Entry:
    """What one process has used for a stage.

    Args:
        model_id: of the model that it was used for, where it is for one alone.
        used: of this process; :meth:`add` what child processes report.
    """

    def __init__(self, files: Files, molecule: str, stage: Stage, used: Usage, *, own: bool) -> None:
        self.model_id: str | None = None
        self.used = used
        self._files, self._stage, self._own = files, stage, own
        self._path = f"{paths.costs(molecule)}/{stage}-{uuid.uuid4().hex}.json"
        self._saved = time.monotonic()

    def add(self, used: Usage) -> None:
        """Charge what a child process has used."""
        self.used.add_earlier(used.wall, used.cpu, used.gpu)

    def use_device(self, device: str) -> None:
        """From now on, work runs on this device."""
        self.used.update().device = device

    def save(self) -> None:
        """Write down what was used until now."""
        self._saved = time.monotonic()
        used = self.used.update() if self._own else self.used
        if max(used.cpu, used.gpu) < LEAST_SECONDS:
            return
        content = {
            "stage": self._stage,
            "model_id": self.model_id,
            "cpu_seconds": used.cpu,
            "gpu_seconds": used.gpu,
            "wall_seconds": used.wall,
        }
        self._files.write_json(self._path, content)

    def save_sometimes(self) -> None:
        """Call it often: it writes every :data:`SAVE_SECONDS`."""
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save()

    def following(self, on_progress: Progress | None) -> Progress:
        """A progress callback that writes the entry too."""

        def follow(note: str, done: int, of: int) -> None:
            self.save_sometimes()
            if on_progress:
                on_progress(note, done, of)

        return follow


@contextmanager
def charge(files: Files, molecule: str, stage: Stage, *, own: bool = True) -> Iterator[Entry]:
    """Charge what a ``with`` block uses to a stage; measurements within it (of trainings) have their own records.

    Args:
        own: False where only what child processes report is to be charged, as this process does other things as well.
    """
    with measure() as used:
        entry = Entry(files, molecule, stage, used if own else Usage(), own=own)
        try:
            yield entry
        except BaseException:
            # The account must not hide what went wrong.
            with suppress(StoreError):
                entry.save()
            raise
        entry.save()


def spent(files: Files, molecule: str) -> list[tuple[Stage, str | None, Usage]]:
    """All entries of a molecule: stage, id of the model that it was for, and what was used."""
    folder = paths.costs(molecule)
    entries = [files.read_json(f"{folder}/{name}") for name in files.names(folder)]
    return [
        (
            cast(Stage, entry["stage"]),
            entry["model_id"],
            Usage(entry["wall_seconds"], entry["cpu_seconds"], entry["gpu_seconds"]),
        )
        for entry in entries
    ]
