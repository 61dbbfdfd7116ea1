"""Geometries as they are written in the benchmarks."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration


def geometry(numbers: Sequence[int], positions: npt.ArrayLike) -> Configuration:
    """A neutral singlet; positions (N, 3) in Å."""
    return Configuration(np.array(numbers), np.array(positions, dtype=float))
