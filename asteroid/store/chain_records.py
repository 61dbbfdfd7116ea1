"""The record of a pilot: what labels and corrections of few frames promise for each chain of levels.

Errors are in eV/Å, times in core-seconds; :mod:`asteroid.stages.pilot` writes and reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Chain:
    """One way from the cheap level to the accurate one.

    Args:
        levels: above the cheap one, the accurate level last.
        labels: at each of them, held-out ones included.
        core_seconds: of all these labels, and of the pilot's labels at levels that are not among these.
        error: that labels at the accurate level are promised to be off by once they are corrected.
        parts: the residual error of each step.
    """

    levels: tuple[str, ...]
    labels: tuple[int, ...]
    core_seconds: float
    error: float
    parts: tuple[float, ...]

    @property
    def between(self) -> tuple[str, ...]:
        """Its levels between the cheap and the accurate one."""
        return self.levels[:-1]


@dataclass(frozen=True)
class ResidualCurve:
    """How the force error that a correction leaves falls with its labels: factor · labels^(−exponent).

    Args:
        below, above: the levels that it leads from and to.
        measured: labels and error of each part of the pilot that was measured.
    """

    below: str
    above: str
    factor: float
    exponent: float
    measured: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What the pilot of one molecule found.

    Args:
        frames: how many were labelled at each level.
        prices: core-seconds of a label, by level.
        budget: core-seconds for all labels that train or are held out.
        chains: all that the budget pays for, the smallest promised error first.
        chosen: the one that is used: the shortest whose error is hardly larger than the smallest.
    """

    frames: int
    prices: Mapping[str, float]
    budget: float
    curves: tuple[ResidualCurve, ...]
    chains: tuple[Chain, ...]
    chosen: Chain
