"""Measurement of wall time, CPU seconds and GPU seconds.

Costs are in CPU seconds, which hardly depend on other load of the machine. Trainings, simulations, sampling and labels
are measured with :func:`measure`; :mod:`asteroid.report.cost` adds them up.
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
        wall: s.
        cpu: s, of all threads of this process. Child processes are measured separately.
        gpu: s during which a GPU was held.
        device: of torch; for all but ``cpu``, wall time counts as GPU time.
    """

    wall: float = 0.0
    cpu: float = 0.0
    gpu: float = 0.0
    device: str = "cpu"
    _began: tuple[float, float] | None = field(default=None, repr=False)

    def add_earlier(self, wall: float, cpu: float, gpu: float) -> None:
        """Add the usage of an earlier process for the same work, in s."""
        self.wall, self.cpu, self.gpu = self.wall + wall, self.cpu + cpu, self.gpu + gpu

    def update(self) -> "Usage":
        """Add the usage until now and return this object; without effect during an inner measurement."""
        if self._began is None:
            return self
        now = _clocks()
        wall, cpu = (max(0.0, after - before) for after, before in zip(now, self._began, strict=True))
        self.add_earlier(wall, cpu, 0.0 if self.device.partition(":")[0] == "cpu" else wall)
        self._began = now
        return self


_innermost: ContextVar[Usage | None] = ContextVar("innermost", default=None)

_process_began: list[tuple[float, float]] = []
"""Start times of a child process without a measurement so far."""


def begin_process() -> None:
    """Call in a new process, to include its start in the first measurement."""
    _process_began[:] = [(time.perf_counter(), 0.0)]


@contextmanager
def measure(device: str = "cpu") -> Iterator[Usage]:
    """Measure the work in a ``with`` block.

    The time of an inner measurement is not counted in the outer one.

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
