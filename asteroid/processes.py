"""Worker processes with one thread each, without the caller's script, that end with their parent.

Quantum chemistry must not share a process with torch, because different OpenMP and BLAS libraries give wrong numbers.
Many small jobs run fastest with one single-threaded process per core.
"""

import contextlib
import ctypes
import multiprocessing
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, TypeVar

from asteroid.errors import AsteroidError
from asteroid.usage import begin_process

T = TypeVar("T")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def single_thread_environment() -> None:
    """Make future child processes use one thread.

    Libraries read these variables on import, so they are set before a worker starts. Libraries that are already loaded
    in this process keep their threads.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    # With a second thread, every memory allocation takes a lock: 4% of the time of a cheap label. pyarrow starts a
    # thread on import, for an allocator that it does not use.
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"


def machine_memory() -> float:
    """Memory of this machine or container, MiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit) / 2**20) if limit.isdecimal() else total


def die_with_parent() -> None:
    """End this process when its parent ends for any reason; call it first in a worker.

    A thread waits for the parent. Linux's own death signal is sent when the *thread* that started the worker ends, and
    pools start workers from short-lived threads.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "a process that multiprocessing started"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="die-with-parent", daemon=True).start()


def die_with_starting_thread() -> None:
    """End this process when the thread that started it ends, or its parent.

    For workers whose starting thread outlives them. The kernel does this; :func:`die_with_parent` needs a thread, which
    costs time (see :func:`single_thread_environment`).
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None or prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        die_with_parent()
        return
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():
        # The parent died before the call of prctl.
        os._exit(1)


_PR_SET_PDEATHSIG = 1

_main_module = threading.Lock()


@contextlib.contextmanager
def _clean() -> Iterator[None]:
    """Start processes that do not import the caller's ``__main__`` and ignore Ctrl-C.

    Python imports the main script again in every worker. This would load torch or Prefect into a quantum chemistry
    worker, take seconds, and start the whole pipeline again in a script without a ``__main__`` guard.
    """
    with _main_module:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        # A terminal sends Ctrl-C to all processes of the group, but the parent decides when its children end. They
        # inherit the signal mask of this thread. The resource tracker, which the first of them would start, unblocks
        # SIGINT in this thread after its start, so it is started before.
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            sys.modules["__main__"] = main


class _CleanProcess(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 (multiprocessing's name)
        with _clean():
            return SpawnProcess._Popen(process_obj)


class CleanContext(SpawnContext):
    """A new interpreter for each process; functions must be importable from a module."""

    Process = _CleanProcess


class _WarmProcess(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 (multiprocessing's name)
        with _clean():
            return ForkServerProcess._Popen(process_obj)


class WarmContext(ForkServerContext):
    """Processes forked from a server that has imported slow modules once.

    torch and MACE take ten CPU seconds to import, as long as a whole step. The server only imports and forks, so each
    process is as clean as a new one.
    """

    Process = _WarmProcess


LONGEST_FOLDER = 75
"""Longest path, in bytes, of the folder for temporary files in which the server can have its socket: 107, the limit for
sockets, minus ``/pymp-…/listener-…``."""


def remove_socket() -> None:
    """Remove the socket of the server of :class:`WarmContext`, for a program that ends with ``os._exit``."""
    folder = multiprocessing.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _context(preload: Sequence[str]) -> SpawnContext | ForkServerContext:
    # A forked process cannot use a GPU if its parent has called the driver, which imports may do.
    gpu = Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()
    if not preload or gpu or len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
        return CleanContext()
    context = WarmContext()
    context.set_forkserver_preload(list(preload))
    return context


Progress = Callable[[str, int, int], None]
"""Called with (note, done, total)."""


def call_in_process(
    function: Callable[..., T],
    /,
    *args: Any,
    on_progress: Progress | None = None,
    preload: Sequence[str] = (),
    **kwargs: Any,
) -> T:
    """Run a function in a new single-threaded process and return its result.

    Function, arguments and result are pickled, so the function must be importable from a module, not from ``__main__``.
    It can set more threads itself (``torch.set_num_threads``). The process ends with this one, even if this one is
    killed.

    Args:
        preload: slow modules, imported once for all calls from this process; the first call determines them.
        on_progress: called here with the arguments with which the function calls its own ``on_progress``.

    Raises:
        AsteroidError: if the process was killed by a signal or ended with an exit code.
        BaseException: raised by the function, if it can be pickled.
    """
    from pebble import ProcessExpired, ProcessPool

    single_thread_environment()
    context = _context(preload)
    channel = context.Queue()
    entered = [channel, dict(os.environ)]
    with ProcessPool(max_workers=1, max_tasks=1, initializer=_enter_child, initargs=entered, context=context) as pool:
        try:
            if on_progress is None:
                future = pool.schedule(function, args=args, kwargs=kwargs)
            else:
                future = pool.schedule(_call_with_progress, args=(function, args, kwargs))
                _forward(future, channel, on_progress)
            result: T = future.result()
        except ProcessExpired as error:
            name = getattr(function, "__qualname__", repr(function))
            raise AsteroidError(f"the process that ran {name} {describe_exit(error.exitcode)}") from None
        except BaseException:
            # After an interrupt, stop the function as well.
            pool.stop()
            raise
        return result


_channel: Any = None
"""In a child process: queue for progress to the parent."""


def _enter_child(channel: Any, environment: Mapping[str, str]) -> None:
    global _channel
    die_with_parent()
    # A forked process has the environment of the call that started the server.
    os.environ.clear()
    os.environ.update(environment)
    begin_process()
    _channel = channel


def _call_with_progress(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    return function(*args, on_progress=lambda *message: _channel.put(message), **kwargs)


def _forward(future: Any, channel: Any, on_progress: Progress) -> None:
    """Forward progress until the child has ended; repeat it during pauses, so that the callback can raise to stop."""
    message = None
    while not future.done():
        with contextlib.suppress(queue.Empty):
            message = channel.get(timeout=0.5)
        if message is not None:
            on_progress(*message)


def describe_exit(code: int | None) -> str:
    """Description of an exit code, negative for a signal.

    >>> describe_exit(-9)
    'was killed by SIGKILL (out of memory?)'
    >>> describe_exit(3)
    'ended with exit code 3'
    """
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"was killed by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")
    return f"ended with exit code {code}"
