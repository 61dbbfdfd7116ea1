"""Functions that tests run in other processes."""

import os
import signal
import sys


def add(a: int, b: int) -> int:
    return a + b


def fail() -> None:
    raise KeyError("expected by the test")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def loaded_and_threads() -> tuple[list[str], str | None]:
    """What a labelling worker has in memory after a label, and the threads it was told to use."""
    from asteroid.configuration import Configuration
    from asteroid.labelling.attempt import label_chunk
    from asteroid.levels import LevelOfTheory

    water = Configuration([8, 1, 1], [[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]])
    assert label_chunk(LevelOfTheory.parse("gfn2-xtb"), None, [water], True)[0].status == "ok"
    assert label_chunk(LevelOfTheory.parse("hf/sto-3g"), None, [water], True)[0].status == "ok"
    heavy = [name for name in ("torch", "pandas", "ase", "prefect") if name in sys.modules]
    return heavy, os.environ.get("OMP_NUM_THREADS")
