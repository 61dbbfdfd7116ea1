"""What a piece of work used: wall time, CPU seconds and GPU seconds.

CPU seconds are what a bill counts: wall time multiplied by threads also counts the time that a busy machine gave to
somebody else. Trainings, simulations, sampling and labels all measure with :func:`measure`, and
:mod:`asteroid.report.cost` adds them up.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Usage:
    """Seconds used.

    Args:
        wall: elapsed, s.
        cpu: of all threads of this process, s. A child process keeps an account of its own.
        gpu: s during which a GPU was held.
        device: torch's name of where the work runs; on anything but ``cpu`` the elapsed time counts as GPU seconds.
    """

    wall: float = 0.0
    cpu: float = 0.0
    gpu: float = 0.0
    device: str = "cpu"
    _began: tuple[float, float] | None = field(default=None, repr=False)

    def add_earlier(self, wall: float, cpu: float, gpu: float) -> None:
        """Count what an earlier process used for the same work."""
        self.wall, self.cpu, self.gpu = self.wall + wall, self.cpu + cpu, self.gpu + gpu

    def update(self) -> "Usage":
        """Count what has been used until now; returns this. Within an inner measurement there is nothing to count."""
        if self._began is None:
            return self
        now = _clocks()
        wall, cpu = (max(0.0, after - before) for after, before in zip(now, self._began, strict=True))
        self.add_earlier(wall, cpu, 0.0 if self.device.partition(":")[0] == "cpu" else wall)
        self._began = now
        return self


_innermost: ContextVar[Usage | None] = ContextVar("innermost", default=None)

_process_began: list[tuple[float, float]] = []
"""In a child process that nothing has measured yet: when it began."""


def begin_process() -> None:
    """Call in a new process made for one piece of work: what starting it takes belongs to the first measurement."""
    _process_began[:] = [(time.perf_counter(), 0.0)]


@contextmanager
def measure(device: str = "cpu") -> Iterator[Usage]:
    """Measure the work in a ``with`` block.

    Of a measurement within another one, the seconds belong to the inner one alone: none is counted twice.

    Args:
        device: see :class:`Usage`.

    >>> with measure() as used:
    ...     with measure() as inner:
    ...         _ = sum(range(100_000))
    >>> inner.cpu > used.cpu >= 0 and used.gpu == 0
    True
    """
    outer = _innermost.get()
    if outer is not None:
        outer.update()._began = None
    used = Usage(device=device, _began=_process_began.pop() if _process_began else _clocks())
    token = _innermost.set(used)
    try:
        yield used
    finally:
        used.update()
        _innermost.reset(token)
        if outer is not None:
            outer._began = _clocks()


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
