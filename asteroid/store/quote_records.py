"""Record of a cost estimate of ``asteroid plan``: one line per stage, for the report to compare with the actual cost.

:mod:`asteroid.plan` makes the lines, :mod:`asteroid.stages.kept_quotes` stores and finds them.
"""

from dataclasses import dataclass
from typing import Literal

Stage = Literal[
    "sampling",
    "cheap labels",
    "accurate labels",
    "training",
    "exploration",
    "minimum",
    "certificate labels",
    "validation",
]


@dataclass(frozen=True)
class Line:
    """Remaining work of one stage of one molecule, as upper bounds.

    Args:
        detail: level or strategy.
        count: remaining number of ``unit``.
        core_seconds: remaining cost.
        least_core_seconds: remaining cost if trainings stop as early as possible and the minimum needs no further
            label.
        wall_seconds: on an idle machine.
        spent_core_seconds: spent so far, from ledger, model cards and account.
        memory: MiB, of one process.
        processes: in parallel.
        disk: MB, added to the store.
        source: measurement that the estimate is based on.
    """

    molecule: str
    stage: Stage
    detail: str
    count: int
    unit: str
    core_seconds: float = 0.0
    least_core_seconds: float = 0.0
    wall_seconds: float = 0.0
    spent_core_seconds: float = 0.0
    memory: float = 0.0
    processes: int = 1
    disk: float = 0.0
    source: str = ""

    @property
    def labels(self) -> bool:
        """Whether label workers do this stage."""
        return self.unit in ("labels", "frames")


@dataclass(frozen=True)
class KeptQuote:
    """Cost estimate of one molecule.

    Args:
        created: ISO time.
        workers: for which it was made.
    """

    created: str
    workers: int
    lines: tuple[Line, ...]
