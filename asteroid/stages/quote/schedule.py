"""When the stages of several molecules run on one machine: wall time and memory from core-seconds.

As ``asteroid run`` does it: labelling stages follow one another, each on all workers; trainings and validations of
different molecules run beside them. What asks for more cores than there are gets its share of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Task:
    """One stage of one molecule.

    Args:
        kind: labelling takes the machine's workers, one stage at a time.
        core_seconds: of work.
        wall_seconds: when it has the machine to itself.
        memory: MiB, of all its processes.
    """

    kind: Literal["labelling", "training"]
    core_seconds: float
    wall_seconds: float
    memory: float = 0.0

    @property
    def cores(self) -> float:
        """How many it keeps busy when it has the machine to itself."""
        return self.core_seconds / self.wall_seconds


def lay_out(chains: Sequence[Sequence[Task]], workers: int) -> tuple[float, float]:
    """Wall seconds until every chain of tasks is done, and the largest memory in use at once, in MiB.

    Args:
        chains: of each molecule, in order; tasks without work are passed over.

    >>> alone = Task("labelling", 20.0, 10.0, 100.0), Task("training", 30.0, 30.0, 500.0)
    >>> lay_out([alone], workers=2)
    (40.0, 500.0)
    """
    waiting = [[task for task in chain if task.wall_seconds > 0] for chain in chains]
    places = {"labelling": 1, "training": workers}
    running: dict[int, float] = {}
    clock = peak = 0.0
    while any(waiting):
        for index, chain in enumerate(waiting):
            if chain and index not in running:
                kind = chain[0].kind
                if sum(waiting[i][0].kind == kind for i in running) < places[kind]:
                    running[index] = chain[0].wall_seconds
        peak = max(peak, sum(waiting[i][0].memory for i in running))
        speed = min(1.0, workers / max(sum(waiting[i][0].cores for i in running), 1e-9))
        step = min(running.values())
        clock += step / speed
        running = {index: left - step for index, left in running.items()}
        for index in [index for index, left in running.items() if left <= 1e-9 * clock]:
            del running[index]
            waiting[index].pop(0)
    return clock, peak
