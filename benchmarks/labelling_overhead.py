"""Overhead of the labelling stage, as the ratio of the times of a bare loop and of the stage for the same frames.

Bare loop: one process per core, each calling the same labeller for its share of the frames, without audit or storage.
Stage: ``asteroid.stages.label`` with as many workers, from Parquet to Parquet, with audit and ledger. Both are timed
including the start of workers, alternately and several times, so that other load affects both; CPU seconds are those of
all processes. A ratio of 1 means no overhead. The difference of a long and a short run gives the steady state.

    python -m benchmarks.labelling_overhead [--repeats 3] [--cheap 2000 20000] [--accurate 16]
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import numpy as np

from asteroid import stages
from asteroid.configuration import Configuration, Frame, Origin
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.processes import single_thread_environment
from asteroid.store import Store
from benchmarks import bare_loop
from benchmarks.geometries import geometry

CHEAP = LevelOfTheory.parse("gfn2-xtb")
ACCURATE = LevelOfTheory.parse("ccsd(t)/6-31g*")
FORMALDEHYDE = geometry([6, 8, 1, 1], [[0, 0, -0.53], [0, 0, 0.68], [0, 0.94, -1.11], [0, -0.94, -1.11]])
ETHANOL = geometry(
    [6, 6, 8, 1, 1, 1, 1, 1, 1],
    [
        [0.01, -0.57, 0.01],
        [-1.28, 0.25, 0.01],
        [1.13, 0.32, -0.01],
        [0.04, -1.22, 0.90],
        [0.04, -1.22, -0.88],
        [-1.33, 0.88, -0.89],
        [-1.33, 0.88, 0.90],
        [-2.14, -0.42, 0.01],
        [1.99, -0.16, 0.05],
    ],
)


@dataclass(frozen=True)
class Cost:
    """Wall seconds, and CPU seconds of this process and its finished children."""

    wall: float
    cpu: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.wall - other.wall, self.cpu - other.cpu)


def measure(function: Callable[[], None]) -> Cost:
    """Cost of a call."""

    def now() -> Cost:
        usage = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
        return Cost(time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in usage))

    start = now()
    function()
    return now() - start


def stage(level: LevelOfTheory, store: Store, workers: int) -> None:
    """Run the labelling stage on a store without labels."""
    molecule = MoleculeSettings(name="molecule", smiles="C=O", accurate=ACCURATE)
    summary = stages.label(store, molecule, level, workers=workers)
    if summary.ok != len(store.selected("molecule", level)):
        raise SystemExit(f"{summary}: not every label was accepted")


def compare(level: LevelOfTheory, configurations: Sequence[Configuration], workers: int) -> tuple[Cost, Cost]:
    """Costs of the bare loop and of the stage."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        frames = [Frame(c, Origin("benchmark"), "benchmark", "train") for c in configurations]
        store.add_frames("molecule", frames, batch="all")
        store.select("molecule", level, [f.frame_id for f in frames], name="all", criterion="all")
        plain = measure(lambda: bare_loop.label(level, configurations, workers))
        return plain, measure(lambda: stage(level, store, workers))


def displaced(base: Configuration, count: int) -> list[Configuration]:
    """Random displacements of a geometry by 0.03 Å."""
    random = np.random.default_rng(0)
    shape = base.positions.shape
    return [base.with_positions(base.positions + random.normal(scale=0.03, size=shape)) for _ in range(count)]


def report(what: str, level: LevelOfTheory, frames: int, pairs: Sequence[tuple[Cost, Cost]]) -> None:
    """Print one line of JSON with all ratios and their medians."""
    wall = [plain.wall / ours.wall for plain, ours in pairs]
    cpu = [plain.cpu / ours.cpu for plain, ours in pairs]
    line = {
        "what": what,
        "level": str(level),
        "frames": frames,
        "bare_to_stage_wall": round(statistics.median(wall), 3),
        "bare_to_stage_cpu": round(statistics.median(cpu), 3),
        "wall_ratios": [round(ratio, 3) for ratio in wall],
        "cpu_ratios": [round(ratio, 3) for ratio in cpu],
        "wall_seconds": [[round(plain.wall, 2), round(ours.wall, 2)] for plain, ours in pairs],
        "cpu_seconds": [[round(plain.cpu, 2), round(ours.cpu, 2)] for plain, ours in pairs],
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cheap", type=int, nargs="*", default=[2000, 20000], help="frames at the cheap level")
    parser.add_argument("--accurate", type=int, nargs="*", default=[16], help="frames at the accurate level")
    arguments = parser.parse_args()
    workers = len(os.sched_getaffinity(0))
    single_thread_environment()
    for name, molecule, level, counts in (
        ("formaldehyde", FORMALDEHYDE, CHEAP, arguments.cheap),
        ("ethanol", ETHANOL, CHEAP, arguments.cheap),
        ("formaldehyde", FORMALDEHYDE, ACCURATE, arguments.accurate),
    ):
        pairs: dict[int, list[tuple[Cost, Cost]]] = {count: [] for count in counts}
        for _ in range(arguments.repeats):
            for count in counts:
                pairs[count].append(compare(level, displaced(molecule, count), workers))
        for count in counts:
            report(name, level, count, pairs[count])
        for short, long in itertools.pairwise(counts):
            steady = [
                (b_long - b_short, s_long - s_short)
                for (b_short, s_short), (b_long, s_long) in zip(pairs[short], pairs[long], strict=True)
            ]
            report(f"{name}, steady state", level, long - short, steady)


if __name__ == "__main__":
    main()
