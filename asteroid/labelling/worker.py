"""One worker process that computes labels.

Each worker has its own pipe to the parent, and shared memory in which it notes the current row and its start time. So
the parent knows at which frame a worker died or hangs, and a dying worker cannot affect others, as it could with a
shared queue. :mod:`asteroid.labelling.crew` handles the deaths.
"""

import contextlib
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from multiprocessing.connection import Connection
from typing import Any, Final

import pyarrow as pa

from asteroid.engines import Labeller, process_kind
from asteroid.errors import AsteroidError
from asteroid.labelling.attempt import PROCESS_STATUS, label_table, one_line
from asteroid.labelling.wire import pack, unpack
from asteroid.processes import CleanContext, die_with_starting_thread

PROGRAM_SHARE: Final = 0.8
"""Part of the memory limit that PySCF is told: it counts only its large arrays."""

EXIT_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Job:
    """Settings of all labels of a campaign.

    Args:
        make: makes the labeller; must be picklable.
        memory_limit: MiB of data of a worker.
        scratch: folder for temporary files.
    """

    make: Callable[[], Labeller]
    forces: bool
    memory_limit: float
    scratch: str


@dataclass(frozen=True)
class Death:
    """How a worker ended.

    Args:
        row: that it was computing; None between two rows.
        seconds: since it began this row.
    """

    exit_code: int | None
    row: int | None
    seconds: float


class Worker:
    """A worker process: :meth:`send` it rows, :meth:`receive` their attempts when ``connection`` is ready."""

    def __init__(self, job: Job) -> None:
        context = CleanContext()
        self.connection, theirs = context.Pipe()
        self.rows = range(0)
        """Rows that were sent and not yet answered."""
        # Index of the current row among these, and its start time.
        self._clock = context.RawArray("d", 2)
        self._process = context.Process(
            target=_serve, args=(theirs, self._clock, job), name="asteroid-label-worker", daemon=True
        )
        self._process.start()
        # Only the worker may hold its end open, so that the pipe closes when the worker dies.
        theirs.close()

    def send(self, rows: range, frames: pa.Table) -> None:
        """Send rows, with their frames."""
        self.rows = rows
        self._clock[:] = (-1.0, math.inf)
        # Fails if the worker has died; the next receive reports that.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(pack(frames))

    def receive(self) -> pa.Table | Death:
        """Attempts of all rows sent, or how the worker died.

        Raises:
            AsteroidError: when the worker reports that this machine cannot compute the labels.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            return self._death()
        if isinstance(answer, AsteroidError):
            raise answer
        self.rows = range(0)
        return unpack(answer)

    @property
    def seconds(self) -> float:
        """Seconds since it began the current row; negative between two rows."""
        return time.monotonic() - float(self._clock[1])

    def kill(self) -> Death:
        """Kill the process and return what it was computing."""
        self._process.kill()
        return self._death()

    def _death(self) -> Death:
        # The pipe closes shortly before the process ends.
        self._process.join(timeout=EXIT_SECONDS)
        self._process.kill()
        self._process.join()
        self.connection.close()
        row, seconds = int(self._clock[0]), self.seconds
        computing = 0 <= row < len(self.rows)
        return Death(self._process.exitcode, self.rows[row] if computing else None, max(seconds, 0.0))


def _serve(connection: Connection, clock: Any, job: Job) -> None:
    """Loop of the worker process: label tables until the parent closes the pipe or dies."""
    die_with_starting_thread()
    tempfile.tempdir = job.scratch
    os.environ["TMPDIR"] = os.environ["PYSCF_TMPDIR"] = job.scratch
    os.environ["PYSCF_MAX_MEMORY"] = str(int(PROGRAM_SHARE * job.memory_limit))

    def note(row: int) -> None:
        # The time last: until it is set, the row has not begun.
        clock[1] = math.inf
        clock[0] = row
        clock[1] = time.monotonic()

    try:
        labeller = _load(job)
        while True:
            frames = unpack(connection.recv_bytes())
            table = label_table(labeller, frames, forces=job.forces, memory_limit=job.memory_limit, on_start=note)
            clock[:] = (-1.0, math.inf)
            connection.send(pack(table))
    except EOFError:
        pass
    except AsteroidError as error:
        connection.send(error)
    except (ImportError, OSError) as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        connection.send(AsteroidError(f"labelling cannot go on on this machine: {reason}"))


class _WithoutPandas(MetaPathFinder):
    """Keeps pyarrow from importing pandas with its first array, which takes a third of a worker's start."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("label workers do without pandas", name=fullname)


def _load(job: Job) -> Labeller:
    """Make the labeller and load its program, then limit what it may allocate."""
    labeller = job.make()
    with_torch = process_kind(labeller.level) == "torch"
    if not with_torch:
        sys.meta_path.insert(0, _WithoutPandas())
    try:
        labeller.load()
    except (ImportError, OSError) as error:
        # Not the fault of a frame: the campaign ends.
        raise AsteroidError(f"{labeller.program} cannot be loaded on this machine: {one_line(str(error))}") from error
    # RLIMIT_DATA counts allocations; RLIMIT_AS would count libraries and reservations that take no memory.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # torch allocates a gigabyte when it is loaded, which the limit must not count.
    limit = int((job.memory_limit + (_data_size() if with_torch else 0.0)) * 2**20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
    return labeller


def _data_size() -> float:
    """MiB of data of this process, as RLIMIT_DATA counts them."""
    with PROCESS_STATUS.open() as status:
        return next((int(line.split()[1]) / 1024 for line in status if line.startswith("VmData:")), 0.0)
