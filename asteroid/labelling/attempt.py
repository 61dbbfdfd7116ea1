"""One attempt: a labeller is run, measured and audited, and whatever happens becomes a row.

Called in the worker processes of :mod:`asteroid.labelling.campaign`, whose results go to :mod:`asteroid.store`.
"""

import datetime as dt
import importlib
import resource
import socket
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from asteroid.configuration import Configuration
from asteroid.errors import LabelFailed
from asteroid.labelling import Labeller, Result, make_labeller
from asteroid.labelling.audit import audit
from asteroid.levels import LevelOfTheory
from asteroid.records import Attempt, Status

PROCESS_STATUS = Path("/proc/self/status")

REASON_LENGTH = 300
"""Characters of a reason that are kept."""


def attempt(labeller: Labeller, configuration: Configuration, *, forces: bool = True) -> Attempt:
    """Compute one label; every failure of the library becomes a failed attempt with a one-line reason.

    KeyboardInterrupt and SystemExit pass: they say something about this process, not about the frame.
    """
    wall, cpu = time.perf_counter(), _cpu_seconds()
    result: Result | None = None
    reason: str | None = None
    rungs: tuple[str, ...] = ("default",)
    status: Status
    try:
        result = labeller.compute(configuration, forces=forces)
    except LabelFailed as error:
        status, reason, rungs = "failed", one_line(str(error)), error.rungs
    except Exception as error:
        # The programs raise anything from LinAlgError to KeyError; the frame is failed and the campaign goes on.
        status, reason = "failed", one_line(f"{type(error).__name__}: {error}")
    else:
        reason = audit(labeller.level, configuration, result)
        status = "rejected" if reason else "ok"
    return Attempt(
        frame_id=configuration.frame_id,
        status=status,
        energy=result.energy if result else None,
        forces=result.forces if result else None,
        dipole=result.dipole if result else None,
        reason=reason,
        spin_square=result.spin_square if result else None,
        rungs=result.rungs if result else rungs,
        wall_seconds=time.perf_counter() - wall,
        cpu_seconds=_cpu_seconds() - cpu,
        peak_memory=_peak_memory(),
        program=labeller.program,
        version=labeller.version,
        settings=labeller.settings,
        host=host(),
        time=dt.datetime.now(dt.UTC),
    )


_worker_labeller = cache(make_labeller)


def label_chunk(
    level: LevelOfTheory, engine: str | None, configurations: Sequence[Configuration], forces: bool
) -> list[Attempt]:
    """Label a few frames: what a worker process is sent."""
    labeller = _worker_labeller(level, engine)
    # A program that this machine cannot load says nothing about a frame: the error ends the campaign.
    importlib.import_module(labeller.program)
    return [attempt(labeller, configuration, forces=forces) for configuration in configurations]


def failed_attempt(labeller: Labeller, configuration: Configuration, reason: str, *, wall_seconds: float) -> Attempt:
    """The attempt of a worker that did not live to report it."""
    return Attempt(
        frame_id=configuration.frame_id,
        status="failed",
        reason=one_line(reason),
        wall_seconds=wall_seconds,
        program=labeller.program,
        version=labeller.version,
        settings=labeller.settings,
        host=host(),
        time=dt.datetime.now(dt.UTC),
    )


def one_line(text: str) -> str:
    """Whatever a program said, on one line of bounded length.

    >>> one_line("no \\n convergence")
    'no convergence'
    """
    return " ".join(text.split())[:REASON_LENGTH]


@cache
def host() -> str:
    return socket.gethostname()


def _cpu_seconds() -> float:
    """User and system time of this process, its threads and the children it waited for."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _peak_memory() -> float:
    """MiB, largest resident size of this process so far.

    Linux passes ``ru_maxrss`` on to a spawned process from its parent, so a worker's own peak comes from ``/proc``
    where that exists.
    """
    try:
        with PROCESS_STATUS.open("rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
