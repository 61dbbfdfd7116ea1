"""What a piece of work used: wall time, CPU seconds and GPU seconds.

CPU seconds are what a bill counts: wall time multiplied by threads also counts the time that a busy machine gave to
somebody else. Trainings, simulations, sampling and labels all measure with :func:`measure`, and
:mod:`asteroid.report.cost` adds them up.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Usage:
    """Seconds used; all zero until the work has ended.

    Args:
        wall: elapsed, s.
        cpu: of all threads of this process, s. A child process keeps an account of its own.
        gpu: s during which a GPU was held.
    """

    wall: float = 0.0
    cpu: float = 0.0
    gpu: float = 0.0


@contextmanager
def measure(device: str = "cpu") -> Iterator[Usage]:
    """Measure the work in a ``with`` block.

    Args:
        device: torch's name of where the work runs; on anything but ``cpu`` the elapsed time counts as GPU seconds.

    >>> with measure() as used:
    ...     _ = sum(range(1000))
    >>> used.cpu >= 0 and used.gpu == 0
    True
    """
    used = Usage()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield used
    finally:
        used.wall = time.perf_counter() - wall
        used.cpu = time.process_time() - cpu
        used.gpu = 0.0 if device.partition(":")[0] == "cpu" else used.wall
