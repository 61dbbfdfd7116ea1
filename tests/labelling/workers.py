"""Functions and labellers that tests run in other processes."""

import ctypes
import importlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import Result, make_labeller
from asteroid.errors import LabelFailed
from asteroid.levels import LevelOfTheory

GFN2 = LevelOfTheory.parse("gfn2-xtb")


def add(a: int, b: int) -> int:
    return a + b


def importer() -> int:
    """Id of the process that imported a module which a test wants preloaded."""
    from tests.labelling import preloaded

    return preloaded.IMPORTED_BY


def fail() -> None:
    raise KeyError("expected by the test")


def say_whether_interrupts_are_blocked() -> None:
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Troubled:
    """GFN2-xTB, but for frames with a given first atom, in which something goes wrong.

    Args:
        element: atomic number of the first atom of such frames.
        trouble: a function of this module, called with a folder to keep notes in.
    """

    element: int
    trouble: str
    notes: str
    level: LevelOfTheory = GFN2
    program: str = "tblite"
    version: str = "0"
    settings: str = ""

    def __call__(self) -> "Troubled":
        return self

    def load(self) -> None:
        importlib.import_module(self.program)

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        if configuration.numbers[0] == self.element:
            globals()[self.trouble](Path(self.notes))
        return make_labeller(self.level).compute(configuration, forces=forces)


def hang(_notes: Path) -> None:
    time.sleep(3600)


def hang_in_a_library(_notes: Path) -> None:
    """Holding Python's lock, as a library may."""
    ctypes.PyDLL(None).sleep(3600)


def read_address_zero(_notes: Path) -> None:
    ctypes.string_at(0)


def leave(_notes: Path) -> None:
    """What Fortran's STOP does."""
    os._exit(3)


def take_memory(_notes: Path) -> None:
    np.ones(2**30)


def be_killed(notes: Path) -> None:
    with (notes / "kills").open("a") as kills:
        kills.write("x")
    die()


def be_killed_once(notes: Path) -> None:
    if not (notes / "kills").exists():
        be_killed(notes)


def be_told_to_end(_notes: Path) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def fill_the_disk(_notes: Path) -> None:
    raise OSError(28, "No space left on device", "/scratch/eri.h5")


def lose_the_programs_files(_notes: Path) -> None:
    raise FileNotFoundError(2, "No such file or directory", "/programs/basis/cc-pvdz.dat")


def describe_the_process(_notes: Path) -> None:
    """What a labelling worker has in memory, the threads it was told to use, and those it has."""
    import pyscf  # noqa: F401

    heavy = [name for name in ("torch", "pandas", "ase", "prefect") if name in sys.modules]
    threads = len(list(Path("/proc/self/task").iterdir()))
    raise LabelFailed(f"{heavy} {os.environ.get('OMP_NUM_THREADS')} {threads}")
