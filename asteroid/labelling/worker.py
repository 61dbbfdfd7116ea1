"""One worker process that computes labels, as its parent holds it.

Parent and worker share a pipe of their own and a clock, a piece of shared memory in which the worker notes which row it
computes since when. The parent therefore knows of each dead or hanging worker which frame it was at; there is no queue
that several processes read from, so none of them can take a task, a lock or half a message of another along with it.

:mod:`asteroid.labelling.campaign` decides what to do about it.
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
from asteroid.labelling.attempt import PROCESS_STATUS, is_full, label_table, one_line
from asteroid.labelling.wire import pack, unpack
from asteroid.processes import CleanContext, die_with_starting_thread

PROGRAM_SHARE: Final = 0.8
"""Part of the memory limit that PySCF plans with: it counts its large arrays, not everything."""

EXIT_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Job:
    """What all labels of a campaign have in common.

    Args:
        make: the labeller; like every call that goes to another process it must be picklable.
        memory_limit: MiB of data that a worker may have.
        scratch: a folder for temporary files.
    """

    make: Callable[[], Labeller]
    forces: bool
    memory_limit: float
    scratch: str


@dataclass(frozen=True)
class Death:
    """How a worker ended.

    Args:
        row: that it was computing, None when it was between two.
        seconds: since when.
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
        """What it has been sent and has not answered."""
        # The row, counted from the first it was sent, and the time at which it was begun.
        self._clock = context.RawArray("d", 2)
        self._process = context.Process(
            target=_serve, args=(theirs, self._clock, job), name="asteroid-label-worker", daemon=True
        )
        self._process.start()
        # The worker's end must be open in the worker alone: it closes when the worker dies.
        theirs.close()

    def send(self, rows: range, frames: pa.Table) -> None:
        """Have these rows computed; ``frames`` are they."""
        self.rows = rows
        self._clock[:] = (-1.0, math.inf)
        # A worker that has died meanwhile cannot be sent anything; the next receive says so.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(pack(frames))

    def receive(self) -> pa.Table | Death:
        """Attempts of all rows sent, or how the worker died.

        Raises:
            AsteroidError: when the worker says that this machine cannot do the work.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            return self._autopsy()
        if isinstance(answer, AsteroidError):
            raise answer
        self.rows = range(0)
        return unpack(answer)

    @property
    def seconds(self) -> float:
        """Since the row that it is computing was begun; negative when it is between two."""
        return time.monotonic() - float(self._clock[1])

    def kill(self) -> Death:
        """End it at once, and see what it was doing."""
        self._process.kill()
        return self._autopsy()

    def _autopsy(self) -> Death:
        # Its end of the pipe closes a moment before it is gone; one that lives on without the pipe is of no use.
        self._process.join(timeout=EXIT_SECONDS)
        self._process.kill()
        self._process.join()
        self.connection.close()
        row, seconds = int(self._clock[0]), self.seconds
        computing = 0 <= row < len(self.rows)
        return Death(self._process.exitcode, self.rows[row] if computing else None, max(seconds, 0.0))


def _serve(connection: Connection, clock: Any, job: Job) -> None:
    """What runs in the process: answer one table after another until the parent closes the pipe or dies."""
    die_with_starting_thread()
    tempfile.tempdir = job.scratch
    os.environ["TMPDIR"] = os.environ["PYSCF_TMPDIR"] = job.scratch
    os.environ["PYSCF_MAX_MEMORY"] = str(int(PROGRAM_SHARE * job.memory_limit))

    def note(row: int) -> None:
        # The time last: until it is set, the row counts as not begun.
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
    except OSError as error:
        if not is_full(error):
            raise
        connection.send(AsteroidError(f"labelling cannot write its temporary files: {one_line(str(error))}"))


class _WithoutPandas(MetaPathFinder):
    """pyarrow imports pandas for its first array if it can: a third of a worker's start, for nothing."""

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
        # It says nothing about a frame: the campaign ends.
        raise AsteroidError(f"{labeller.program} cannot be loaded on this machine: {one_line(str(error))}") from error
    # RLIMIT_DATA counts what is allocated; RLIMIT_AS would count libraries and reservations that take no memory.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # torch takes a gigabyte before it computes anything: the limit is that of what is computed.
    limit = int((job.memory_limit + (_data_size() if with_torch else 0.0)) * 2**20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))
    return labeller


def _data_size() -> float:
    """MiB of data that this process has, as RLIMIT_DATA counts it."""
    with PROCESS_STATUS.open() as status:
        return next((int(line.split()[1]) / 1024 for line in status if line.startswith("VmData:")), 0.0)
