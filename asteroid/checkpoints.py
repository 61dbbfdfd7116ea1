"""Checkpoints of trainings and simulations in the store: numbered files in a folder of their own, the newest counts."""

from typing import Protocol

from asteroid.files import Files


class CheckpointKeeper(Protocol):
    """Keeps the newest checkpoint of one training or simulation."""

    def load(self) -> bytes | None: ...

    def save(self, checkpoint: bytes) -> None: ...

    def clear(self) -> None: ...


class StoredCheckpoints:
    """Immutable numbered files, an older one removed only once the newer one is in place.

    Args:
        folder: of this training or simulation alone, below the root of the store.
    """

    def __init__(self, files: Files, folder: str) -> None:
        self._files, self._folder = files, folder

    def load(self) -> bytes | None:
        """The newest checkpoint; None where there is none."""
        names = self._files.names(self._folder)
        return self._files.read(f"{self._folder}/{names[-1]}") if names else None

    def save(self, checkpoint: bytes) -> None:
        names = self._files.names(self._folder)
        number = int(names[-1].partition(".")[0]) + 1 if names else 1
        self._files.write(f"{self._folder}/{number:08d}.checkpoint", checkpoint)
        for name in names:
            self._files.remove(f"{self._folder}/{name}")

    def clear(self) -> None:
        """Remove them all, and what a process that was killed had begun to write."""
        # Oldest first: a kill in between leaves the newest one, never an outdated one.
        for name in self._files.names(self._folder):
            self._files.remove(f"{self._folder}/{name}")
        self._files.remove_unfinished(self._folder)
