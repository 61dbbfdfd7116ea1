"""A plain loop over labels for :mod:`benchmarks.labelling_overhead`.

A separate module with few imports, so that its processes start fast.
"""

import itertools
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import make_labeller
from asteroid.levels import LevelOfTheory
from asteroid.processes import CleanContext
from benchmarks.geometries import geometry


def label(level: LevelOfTheory, configurations: Sequence[Configuration], workers: int) -> None:
    """Compute labels in a plain process pool with equal shares, without using the results."""
    numbers = configurations[0].numbers.tolist()
    shares = np.array_split(np.array([one.positions for one in configurations]), workers)
    with ProcessPoolExecutor(workers, mp_context=CleanContext()) as pool:
        list(pool.map(_label_share, itertools.repeat(str(level)), itertools.repeat(numbers), shares))


def _label_share(level: str, numbers: list[int], geometries: np.ndarray) -> None:
    labeller = make_labeller(LevelOfTheory.parse(level))
    for configuration in [geometry(numbers, positions) for positions in geometries]:
        labeller.compute(configuration)
