"""Queue of rows to label, and the number of rows sent to a worker at once."""

from collections import deque
from typing import Final

CHUNK_SECONDS: Final = 0.5
"""Work in one chunk of rows: sending a chunk costs a millisecond, as much as a cheap label."""

LARGEST_CHUNK: Final = 500


class Queue:
    """Rows still to be labelled.

    >>> queue = Queue(rows=40, workers=2)
    >>> queue.take()
    range(0, 1)
    >>> queue.learn(seconds=0.1)
    >>> queue.take()
    range(1, 6)
    """

    def __init__(self, rows: int, workers: int) -> None:
        self._fresh = range(rows)
        self._returned: deque[range] = deque()
        self._workers = workers
        self._chunk = 1

    def take(self) -> range:
        """The next rows for a worker; empty when none are left."""
        if self._returned:
            return self._returned.popleft()
        # Smaller chunks near the end keep all workers busy.
        size = max(1, min(self._chunk, len(self._fresh) // (2 * self._workers)))
        taken, self._fresh = self._fresh[:size], self._fresh[size:]
        return taken

    def give_back(self, rows: range) -> None:
        """Return rows that were taken and not computed; they are taken next."""
        if rows:
            self._returned.append(rows)

    def learn(self, seconds: float) -> None:
        """Choose the size of the next chunks from the time of a label."""
        self._chunk = max(1, min(int(CHUNK_SECONDS / max(seconds, 1e-6)), LARGEST_CHUNK))
