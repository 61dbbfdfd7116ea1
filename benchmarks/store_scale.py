"""Time and peak memory of operations on a store with a million labels.

A molecule with ten atoms, first in many small files as campaigns write them, then compacted. Each step runs in its own
process; peak memory is VmHWM. The first line is for an empty step.

    python -m benchmarks.store_scale [--rows 1000000] [--files 2000] [--store URL]
"""

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.rows import LABEL_SCHEMA

ATOMS = 10
LEVEL = LevelOfTheory.parse("gfn2-xtb")
MOLECULE = "molecule"
SHARE_LABELLED = 0.95
MOST_OBJECTS = 2_000_000
"""Labels as Python objects take about 2 KB each; with more rows this step is left out."""


def frame_ids(rows: int) -> list[str]:
    """Random frame ids."""
    digits = np.random.default_rng(0).bytes(16 * rows).hex()
    return [digits[i : i + 32] for i in range(0, len(digits), 32)]


def attempts(ids: list[str], seed: int) -> pa.Table:
    """Labels with random energies and forces, 1% of them failed."""
    rng, count = np.random.default_rng(seed), len(ids)
    failed = rng.random(count) < 0.01

    def lists(width: int) -> pa.Array:
        values = pa.array(rng.normal(size=count * width))
        offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
        return pa.ListArray.from_arrays(offsets, values, mask=pa.array(failed))

    now = dt.datetime.now(dt.UTC)
    columns = {
        "frame_id": ids,
        "status": np.where(failed, "failed", "ok"),
        "energy": pa.array(rng.normal(size=count), mask=failed),
        "forces": lists(3 * ATOMS),
        "dipole": lists(3),
        "reason": ["no convergence" if one else None for one in failed],
        "rung": np.where(failed, "damped", "default"),
        "rungs": [["default", "damped"] if one else ["default"] for one in failed],
        "wall_seconds": rng.random(count),
        "cpu_seconds": rng.random(count),
        "cores": [1] * count,
        "peak_memory": 100 + rng.random(count),
        "program": ["tblite"] * count,
        "version": ["0.8.0"] * count,
        "settings": ["0123456789abcdef"] * count,
        "host": ["node-17"] * count,
        "time": [now + dt.timedelta(milliseconds=i) for i in range(count)],
    }
    arrays = [pa.array(columns.get(field.name, [None] * count), field.type) for field in LABEL_SCHEMA]
    return pa.table(arrays, schema=LABEL_SCHEMA)


def ingest(store: Store, rows: int, files: int) -> str:
    ids = frame_ids(rows)
    store.add_frames(MOLECULE, [], batch="none")
    store.select(MOLECULE, LEVEL, ids, name="all", criterion="all")
    labelled = ids[: int(SHARE_LABELLED * rows)]
    for index in range(files):
        store.add_attempts(MOLECULE, LEVEL, attempts(labelled[index::files], index))
    return f"{len(labelled)} attempts in {files} files"


def resume(store: Store, rows: int, files: int) -> str:
    return f"{len(store.pending(MOLECULE, LEVEL, shard=1, shards=4))} frames pending in one shard of four"


def status(store: Store, rows: int, files: int) -> str:
    (row,) = store.status()
    return f"{row['ok']} ok, {row['failed']} failed, {row['core_hours']:.1f} core-hours"


def label_table(store: Store, rows: int, files: int) -> str:
    return f"{store.label_table(MOLECULE, LEVEL).num_rows} rows"


def labels(store: Store, rows: int, files: int) -> str:
    return f"{len(store.labels(MOLECULE, LEVEL))} objects"


def compact(store: Store, rows: int, files: int) -> str:
    before = store.table_files(MOLECULE)
    store.compact(MOLECULE)
    return f"{before} files to {store.table_files(MOLECULE)}"


def nothing(store: Store, rows: int, files: int) -> str:
    return ""


STEPS: dict[str, Callable[[Store, int, int], str]] = {
    step.__name__: step for step in (nothing, ingest, resume, status, label_table, labels, compact)
}
ORDER = ("nothing", "ingest", "resume", "status", "label_table", "labels", "compact", "resume", "status", "label_table")


def run_step(name: str, url: str, rows: int, files: int) -> dict[str, str | float]:
    """Run one step in this process; returns its result, times and peak memory."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = STEPS[name](Store(url), rows, files)
    memory = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {
        "step": name,
        "wall_seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_memory_mib": round(int(memory.split()[1]) / 1024),
        "result": result,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="number of frames, 95%% of them labelled")
    parser.add_argument("--files", type=int, default=2000, help="number of files with labels")
    parser.add_argument("--store", help="folder or URL; must be empty (a temporary folder by default)")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(run_step(arguments.step, arguments.store, arguments.rows, arguments.files)))
        return
    with tempfile.TemporaryDirectory() as folder:
        size = [f"--rows={arguments.rows}", f"--files={arguments.files}", f"--store={arguments.store or folder}"]
        print(f"{'step':12} {'wall s':>8} {'CPU s':>8} {'peak MiB':>9}")
        for step in ORDER:
            if step == "labels" and arguments.rows > MOST_OBJECTS:
                continue
            command = [sys.executable, "-m", "benchmarks.store_scale", *size, f"--step={step}"]
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
            row = json.loads(done.stdout)
            figures = f"{row['wall_seconds']:8.2f} {row['cpu_seconds']:8.2f} {row['peak_memory_mib']:9d}"
            print(f"{step:12} {figures}  {row['result']}", flush=True)


if __name__ == "__main__":
    main()
