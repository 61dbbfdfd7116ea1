"""The labels of a campaign without the campaign: what :mod:`benchmarks.labelling_overhead` compares with.

In a module of its own, which imports nothing else, so that its processes start as fast as they can.
"""

import itertools
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import make_labeller
from asteroid.levels import LevelOfTheory
from asteroid.processes import CleanContext


def label(level: LevelOfTheory, configurations: Sequence[Configuration], workers: int) -> None:
    """Compute labels in a plain process pool, each process given its share at once, and throw them away."""
    numbers = configurations[0].numbers.tolist()
    shares = np.array_split(np.array([one.positions for one in configurations]), workers)
    with ProcessPoolExecutor(workers, mp_context=CleanContext()) as pool:
        list(pool.map(_label_share, itertools.repeat(str(level)), itertools.repeat(numbers), shares))


def _label_share(level: str, numbers: list[int], geometries: np.ndarray) -> None:
    labeller = make_labeller(LevelOfTheory.parse(level))
    for configuration in [Configuration(numbers, positions) for positions in geometries]:
        labeller.compute(configuration)
