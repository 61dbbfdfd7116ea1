"""Checkpoints of trainings and simulations: numbered files in one folder each; the newest is used."""

import hashlib
from typing import Final, Protocol

from asteroid.store.files import Files

DIGITS: Final = 8
SUFFIX: Final = ".checkpoint"


class CheckpointKeeper(Protocol):
    """Stores the newest checkpoint of one training or simulation."""

    def load(self) -> bytes | None: ...

    def save(self, checkpoint: bytes) -> None: ...

    def clear(self) -> None: ...


class StoredCheckpoints:
    """Immutable numbered files; an older one is removed once the newer one is written.

    Args:
        folder: of this training or simulation, below the root of the store.
    """

    def __init__(self, files: Files, folder: str) -> None:
        self._files, self._folder = files, folder

    def load(self) -> bytes | None:
        """The newest checkpoint; None without one.

        Raises:
            StoreError: when its checksum is wrong.
        """
        names = self._files.names(self._folder)
        if not names:
            return None
        path = f"{self._folder}/{names[-1]}"
        checkpoint = self._files.read(path)
        # Checkpoints of earlier versions have no hash in their name.
        _, _, expected = names[-1].removesuffix(SUFFIX).partition("-")
        if expected and expected != _digest(checkpoint):
            raise self._files.damaged(path, "its SHA-256 is not the one in its name")
        return checkpoint

    def save(self, checkpoint: bytes) -> None:
        names = self._files.names(self._folder)
        number = int(names[-1][:DIGITS]) + 1 if names else 1
        self._files.write(f"{self._folder}/{number:0{DIGITS}d}-{_digest(checkpoint)}{SUFFIX}", checkpoint)
        for name in names:
            self._files.remove(f"{self._folder}/{name}")

    def clear(self) -> None:
        """Remove all checkpoints, and the unfinished files of killed processes."""
        # Oldest first: a kill in between leaves the newest one.
        for name in self._files.names(self._folder):
            self._files.remove(f"{self._folder}/{name}")
        self._files.remove_unfinished(self._folder)


def _digest(checkpoint: bytes) -> str:
    return hashlib.sha256(checkpoint).hexdigest()[:16]
