"""Worker processes: one thread each, nothing of the caller's script in them, and none left behind.

The bottom layer below labelling and training; it imports nothing heavy. Quantum chemistry must not share a process with
torch (clashing OpenMP and BLAS give wrong numbers), and many small jobs run fastest as one single-threaded process a
core.
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
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, TypeVar

from asteroid.errors import AsteroidError
from asteroid.usage import begin_process

T = TypeVar("T")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def single_thread_environment() -> None:
    """Tell this process's future children to use one thread.

    The variables are read when numpy, PySCF or torch are first imported, so they are set in the parent, before a worker
    starts; libraries already loaded here keep their threads.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    # Beside any second thread every allocation of memory takes a lock: four per cent of a cheap label. pyarrow starts
    # one when it is imported, for an allocator that it does not use.
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"


def machine_memory() -> float:
    """MiB that the processes of this machine, or of this container, may use together."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit) / 2**20) if limit.isdecimal() else total


def die_with_parent() -> None:
    """End this process when its parent ends, however it does; to be called first in a worker.

    A thread that waits for the parent's end is used because Linux's own death signal follows the *thread* that started
    the worker, and a pool starts workers from threads that end.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "a process that multiprocessing started"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="die-with-parent", daemon=True).start()


def die_with_starting_thread() -> None:
    """End this process as soon as the thread that started it ends, and at the latest with its parent.

    For workers whose starting thread outlives them. The kernel does it, where :func:`die_with_parent` needs a thread
    (see :func:`single_thread_environment` for what that costs).
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None or prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        die_with_parent()
        return
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():
        # The parent died before the kernel was asked.
        os._exit(1)


_PR_SET_PDEATHSIG = 1

_main_module = threading.Lock()


@contextlib.contextmanager
def _clean() -> Iterator[None]:
    """Start processes in this block that do not import the caller's ``__main__``, and that Ctrl-C does not reach.

    Python re-imports the main script in every worker. That would load torch or Prefect into a quantum chemistry worker,
    cost seconds a worker, and start the whole pipeline again where the script has no ``__main__`` guard.
    """
    with _main_module:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        # A terminal sends Ctrl-C to every process of the group. It is the parent's to decide what becomes of its
        # children: they inherit this thread's mask, from their first moment.
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
    """A new interpreter for each process: what runs there must be importable from a module."""

    Process = _CleanProcess


class _WarmProcess(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 (multiprocessing's name)
        with _clean():
            return ForkServerProcess._Popen(process_obj)


class WarmContext(ForkServerContext):
    """Processes that begin with modules which one server has imported for all of them.

    torch and MACE take ten CPU seconds to import, as long as many a step. The server does nothing but import and fork,
    so each process is as clean as a new one.
    """

    Process = _WarmProcess


LONGEST_FOLDER = 75
"""Bytes of the path of a folder for temporary files in which the server can listen: 107, which is all that a socket may
have, less ``/pymp-…/listener-…``."""


def remove_socket() -> None:
    """Remove where the server of :class:`WarmContext` listens, for a program that ends without Python's own ending."""
    folder = multiprocessing.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _context(preload: Sequence[str]) -> SpawnContext | ForkServerContext:
    # A process that is forked after the driver of a GPU was asked anything, as imports may, cannot use the GPU.
    gpu = Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()
    if not preload or gpu or len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
        return CleanContext()
    context = WarmContext()
    context.set_forkserver_preload(list(preload))
    return context


Progress = Callable[[str, int, int], None]
"""Called with a note, what is done and how much there is."""


def call_in_process(
    function: Callable[..., T],
    /,
    *args: Any,
    on_progress: Progress | None = None,
    preload: Sequence[str] = (),
    **kwargs: Any,
) -> T:
    """Run a function in a fresh, single-threaded process and return what it returns.

    The function, its arguments and its result are pickled, so it must be importable from a module, not from
    ``__main__``.
    Threads that the caller wants in the process can still be set there (``torch.set_num_threads``). The process ends
    with this one, also when this one is killed.

    Args:
        preload: modules that take long to import, imported once for all such calls of this process; the first call says
            which.
        on_progress: given to the function as its own ``on_progress``; what it is called with there, it is called with
            here.

    Raises:
        AsteroidError: when the process died by a signal or left with an exit code.
        BaseException: what the function raised, as it was raised where it can be pickled.
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
            # An interrupt here must not leave the function running.
            pool.stop()
            raise
        return result


_channel: Any = None
"""In a child: where progress is sent to the parent."""


def _enter_child(channel: Any, environment: Mapping[str, str]) -> None:
    global _channel
    die_with_parent()
    # A server's is that of the call which started it.
    os.environ.clear()
    os.environ.update(environment)
    begin_process()
    _channel = channel


def _call_with_progress(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    return function(*args, on_progress=lambda *message: _channel.put(message), **kwargs)


def _forward(future: Any, channel: Any, on_progress: Progress) -> None:
    """Pass progress on until the child has ended, and repeat it while there is none, so that it may raise to stop."""
    message = None
    while not future.done():
        with contextlib.suppress(queue.Empty):
            message = channel.get(timeout=0.5)
        if message is not None:
            on_progress(*message)


def describe_exit(code: int | None) -> str:
    """How a process ended, in words.

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
