"""Compute and audit one label; success and failure both become an attempt.

Runs in the processes of :mod:`asteroid.labelling.worker`; the attempts go to :mod:`asteroid.store`.
"""

import datetime as dt
import errno
import resource
import socket
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from asteroid.configuration import Configuration
from asteroid.engines import Labeller, Result
from asteroid.errors import LabelFailed
from asteroid.labelling.audit import audit
from asteroid.labelling.wire import table_to_configurations
from asteroid.store.rows import LABEL_SCHEMA, Attempt, Status, attempts_to_table

PROCESS_STATUS = Path("/proc/self/status")

REASON_LENGTH = 300
"""Characters of a reason that are kept."""


class _Computation(NamedTuple):
    """Result and cost of one calculation; a reason when there is no result."""

    configuration: Configuration
    result: Result | None
    reason: str | None
    retry_steps: tuple[str, ...]
    wall_seconds: float
    cpu_seconds: float
    time: dt.datetime


def label_table(
    labeller: Labeller,
    frames: pa.Table,
    *,
    forces: bool = True,
    memory_limit: float | None = None,
    on_start: Callable[[int], None] = lambda _row: None,
) -> pa.Table:
    """Label a table of frames; every failure of the program becomes a failed attempt with a one-line reason.

    KeyboardInterrupt and SystemExit are not caught: they do not concern a frame.

    Args:
        frames: of :data:`~asteroid.labelling.wire.CONFIGURATION_SCHEMA`.
        memory_limit: MiB, of this process; for messages.
        on_start: called with the number of each row before it is computed.

    Returns:
        Rows of :data:`~asteroid.store.rows.LABEL_SCHEMA`, in the order of the frames.

    Raises:
        OSError, ImportError: when a file cannot be read or written, or a module is gone: a fault of the machine.
    """
    computations = []
    for row, configuration in enumerate(list(table_to_configurations(frames))):
        on_start(row)
        computations.append(_compute(labeller, configuration, forces=forces, memory_limit=memory_limit))
    # Audited together: three times as fast as one by one, because the programs fill the processor's cache.
    table = attempts_to_table([_audited(labeller, one) for one in computations])
    # Read once for all rows: reading takes 1 % of the time of a cheap label.
    memory = pa.array(np.full(table.num_rows, peak_memory()))
    column = LABEL_SCHEMA.get_field_index("peak_memory")
    return table.set_column(column, LABEL_SCHEMA.field(column), memory)


def _compute(
    labeller: Labeller, configuration: Configuration, *, forces: bool, memory_limit: float | None
) -> _Computation:
    wall, cpu = time.perf_counter(), time.process_time()
    result: Result | None = None
    reason: str | None = None
    retry_steps: tuple[str, ...] = ("default",)
    try:
        result = labeller.compute(configuration, forces=forces)
    except LabelFailed as error:
        reason, retry_steps = one_line(str(error)), error.retry_steps
    except MemoryError as error:
        limit = "" if memory_limit is None else f"the memory limit of {memory_limit:g} MiB is reached: "
        reason = one_line(f"{limit}{error or 'out of memory'}")
    except Exception as error:
        if is_machine_fault(error):
            raise
        # The programs raise anything from LinAlgError to KeyError; the campaign continues.
        reason = one_line(f"{type(error).__name__}: {error}")
    else:
        retry_steps = result.retry_steps
    elapsed = time.perf_counter() - wall, time.process_time() - cpu
    return _Computation(configuration, result, reason, retry_steps, *elapsed, dt.datetime.now(dt.UTC))


def _audited(labeller: Labeller, computation: _Computation) -> Attempt:
    """Audit a calculation."""
    result, reason = computation.result, computation.reason
    status: Status = "failed"
    if result is not None:
        reason = audit(labeller.level, computation.configuration, result)
        status = "rejected" if reason else "ok"
    return Attempt(
        frame_id=computation.configuration.frame_id,
        status=status,
        energy=result.energy if result else None,
        forces=result.forces if result else None,
        dipole=result.dipole if result else None,
        reason=reason,
        spin_square=result.spin_square if result else None,
        retry_steps=computation.retry_steps,
        check_error=result.check_error if result else None,
        wall_seconds=computation.wall_seconds,
        cpu_seconds=computation.cpu_seconds,
        program=labeller.program,
        version=labeller.version,
        settings=labeller.settings,
        host=host(),
        time=computation.time,
    )


def failed_attempt(labeller: Labeller, frame_id: str, reason: str, *, wall_seconds: float) -> Attempt:
    """The attempt of a worker that died."""
    return Attempt(
        frame_id=frame_id,
        status="failed",
        reason=one_line(reason),
        wall_seconds=wall_seconds,
        program=labeller.program,
        version=labeller.version,
        settings=labeller.settings,
        host=host(),
        time=dt.datetime.now(dt.UTC),
    )


def is_machine_fault(error: BaseException) -> bool:
    """Whether the error concerns the machine, not a frame: a full disk, files or programs that are gone."""
    # The system may refuse memory in this form, which another frame may not need.
    return isinstance(error, OSError | ImportError) and getattr(error, "errno", None) != errno.ENOMEM


def one_line(text: str) -> str:
    """The text on one line of at most :data:`REASON_LENGTH` characters.

    >>> one_line("no \\n convergence")
    'no convergence'
    """
    return " ".join(text.split())[:REASON_LENGTH]


@cache
def host() -> str:
    return socket.gethostname()


def peak_memory() -> float:
    """Peak resident memory of this process, MiB.

    Read from ``/proc`` where it exists: on Linux a spawned process inherits ``ru_maxrss`` from its parent.
    """
    try:
        with PROCESS_STATUS.open("rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
