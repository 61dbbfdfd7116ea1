"""Record of a pilot: costs and residual errors on a few frames, and expected errors of all chains.

Errors are in eV/Å, times in core-seconds; :mod:`asteroid.stages.pilot` writes and reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Chain:
    """Levels from the cheap to the accurate one.

    Args:
        levels: above the cheap one, the accurate level last.
        labels: number at each level, held-out labels included.
        core_seconds: of these labels, and of pilot labels at levels outside the chain.
        error: expected error of labels corrected to the accurate level.
        parts: residual error of each step.
    """

    levels: tuple[str, ...]
    labels: tuple[int, ...]
    core_seconds: float
    error: float
    parts: tuple[float, ...]

    @property
    def between(self) -> tuple[str, ...]:
        """Intermediate levels."""
        return self.levels[:-1]


@dataclass(frozen=True)
class ResidualCurve:
    """Residual force error of a correction: factor · labels^(−exponent).

    Args:
        below, above: the two levels.
        measured: number of labels and error of each measurement.
    """

    below: str
    above: str
    factor: float
    exponent: float
    measured: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """Result of the pilot of one molecule.

    Args:
        frames: number labelled at each level.
        prices: core-seconds per label, by level.
        budget: core-seconds for all training and held-out labels.
        chains: all chains within the budget, in order of their expected error.
        chosen: see :func:`asteroid.chains.choice.choose`.
    """

    frames: int
    prices: Mapping[str, float]
    budget: float
    curves: tuple[ResidualCurve, ...]
    chains: tuple[Chain, ...]
    chosen: Chain
