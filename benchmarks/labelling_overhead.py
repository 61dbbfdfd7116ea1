"""What the labelling stages cost beyond the bare computation: wall time against a bare loop over the same frames.

Bare loop: one process a core, each calling the program's own Python interface on its share of the frames, nothing
stored. Stage: ``asteroid.stages.label`` with as many workers, audit, ledger and Parquet included. Both are timed from
start to end, worker start-up included, alternately and several times, so that a noisy machine hits both alike.

    python -m benchmarks.labelling_overhead [--repeats 3] [--cheap 2000] [--accurate 12]
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from asteroid import stages
from asteroid.configuration import Configuration, Frame, Origin
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.processes import single_thread_environment
from asteroid.store import Store
from asteroid.units import BOHR

CHEAP = LevelOfTheory.parse("gfn2-xtb")
ACCURATE = LevelOfTheory.parse("ccsd(t)/6-31g*")
FORMALDEHYDE = Configuration([6, 8, 1, 1], [[0, 0, -0.53], [0, 0, 0.68], [0, 0.94, -1.11], [0, -0.94, -1.11]])

Part = tuple[list[int], list[list[list[float]]]]


def bare_cheap(part: Part) -> None:
    """tblite's own interface and nothing else."""
    from tblite.interface import Calculator

    numbers, geometries = part
    for positions in geometries:
        calculator = Calculator("GFN2-xTB", np.array(numbers), np.array(positions) / BOHR)
        calculator.set("verbosity", 0)
        calculator.singlepoint()


def bare_accurate(part: Part) -> None:
    """PySCF's own interface: RHF, frozen-core CCSD(T), its lambda equations and the gradient."""
    from pyscf import cc, gto, lib, scf
    from pyscf.cc import ccsd_t_lambda
    from pyscf.data.elements import chemcore
    from pyscf.grad import ccsd_t as ccsd_t_grad

    lib.num_threads(1)
    numbers, geometries = part
    for positions in geometries:
        atom = [(int(z), xyz) for z, xyz in zip(numbers, np.array(positions) / BOHR, strict=True)]
        mol = gto.M(atom=atom, unit="Bohr", basis=ACCURATE.basis, verbose=0)
        mf = scf.RHF(mol).run(conv_tol=1e-10)
        mycc = cc.CCSD(mf, frozen=chemcore(mol))
        mycc.conv_tol, mycc.conv_tol_normt = 1e-8, 1e-6
        eris = mycc.ao2mo()
        mycc.kernel(eris=eris)
        mycc.ccsd_t(eris=eris)
        _, l1, l2 = ccsd_t_lambda.kernel(mycc, eris, mycc.t1, mycc.t2, tol=1e-6, verbose=0)[:3]
        ccsd_t_grad.Gradients(mycc).kernel(mycc.t1, mycc.t2, l1, l2, eris=eris)


def time_bare(function: Callable[[Part], None], configurations: Sequence[Configuration], workers: int) -> float:
    """Wall seconds of a plain process pool, each worker given its share at once."""
    single_thread_environment()
    parts = [
        (c[0].numbers.tolist(), [x.positions.tolist() for x in c])
        for c in (configurations[i::workers] for i in range(workers))
    ]
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(function, parts, chunksize=1)
    return time.perf_counter() - start


def time_stage(level: LevelOfTheory, configurations: Sequence[Configuration], workers: int) -> float:
    """Wall seconds of the labelling stage in a fresh store."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        molecule = MoleculeSettings(name="formaldehyde", smiles="C=O", accurate=ACCURATE)
        frames = [Frame(c, Origin("benchmark"), "benchmark", "train") for c in configurations]
        store.add_frames("formaldehyde", frames, batch="all")
        store.select("formaldehyde", level, [f.frame_id for f in frames], name="all", criterion="all")
        start = time.perf_counter()
        summary = stages.label(store, molecule, level, workers=workers)
        seconds = time.perf_counter() - start
        if summary.ok != len(frames):
            raise SystemExit(f"{summary}: not every label was accepted")
        return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cheap", type=int, default=2000, help="frames at the cheap level")
    parser.add_argument("--accurate", type=int, default=12, help="frames at the accurate level")
    arguments = parser.parse_args()
    workers = len(os.sched_getaffinity(0))
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for level, bare, count, goal in (
        (CHEAP, bare_cheap, arguments.cheap, 1.5),
        (ACCURATE, bare_accurate, arguments.accurate, 1.1),
    ):
        geometries = FORMALDEHYDE.positions + rng.normal(scale=0.03, size=(count, 4, 3))
        configurations = [FORMALDEHYDE.with_positions(g) for g in geometries]
        ratios, times = [], []
        for _ in range(arguments.repeats):
            stage, plain = time_stage(level, configurations, workers), time_bare(bare, configurations, workers)
            ratios.append(stage / plain)
            times.append((round(stage, 2), round(plain, 2)))
        rows.append(
            {
                "level": str(level),
                "frames": count,
                "workers": workers,
                "ratio": round(statistics.median(ratios), 3),
                "ratios": [round(r, 3) for r in ratios],
                "seconds_stage_and_bare": times,
                "goal": goal,
            }
        )
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
