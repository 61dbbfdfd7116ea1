"""Two label workers of a work pool, with a shard each, against one with all frames.

Each is a process with one core, as a flow run on a machine of the pool. On a machine with fewer free cores than
processes, wall times say little, so the speed-up is taken from two figures that other load hardly changes: CPU seconds
per label, with the start of each process, and the idle time of the label processes: the part of their time, after the
first label has begun, in which they compute no label.

    python -m benchmarks.label_pools [--level mp2/cc-pvdz] [--frames 200]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from asteroid.configuration import Frame, Origin
from asteroid.labelling.campaign import run_campaign
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from benchmarks.labelling_overhead import FORMALDEHYDE, displaced


def run_shard(url: str, level: str, shard: int, shards: int) -> dict[str, float]:
    """Label one shard in this process and its child; returns its costs in seconds."""
    store, parsed = Store(url), LevelOfTheory.parse(level)
    before = set(store.attempts("molecule", parsed)["frame_id"].to_pylist())
    summary = run_campaign(store, "molecule", parsed, shard=shard, shards=shards)
    attempts = store.attempts("molecule", parsed)
    own = [
        row
        for row in attempts.select(["frame_id", "time", "wall_seconds"]).to_pylist()
        if row["frame_id"] not in before and int(row["frame_id"][:8], 16) % shards == shard
    ]
    busy = sum(row["wall_seconds"] for row in own)
    begun = min(row["time"].timestamp() - row["wall_seconds"] for row in own)
    usage = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    return {
        "labels": summary.ok,
        "cpu": sum(one.ru_utime + one.ru_stime for one in usage),
        "busy": busy,
        "open": max(row["time"].timestamp() for row in own) - begun,
    }


def measure(level: str, frames: int, shards: int) -> dict[str, float]:
    """Costs of all shards together, run side by side on a store of their own."""
    with tempfile.TemporaryDirectory() as folder:
        store, parsed = Store(folder), LevelOfTheory.parse(level)
        found = [Frame(one, Origin("benchmark"), "0", "train") for one in displaced(FORMALDEHYDE, frames)]
        store.add_frames("molecule", found, batch="all")
        store.select("molecule", parsed, [frame.frame_id for frame in found], name="all", criterion="all")
        command = [sys.executable, "-m", "benchmarks.label_pools", "--level", level, "--store", folder]
        runs = [
            subprocess.Popen(
                [*command, f"--shard={shard}", f"--shards={shards}"],
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            for shard in range(shards)
        ]
        costs = [json.loads(run.communicate()[0]) for run in runs]
    return {name: sum(one[name] for one in costs) for name in costs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", default="mp2/cc-pvdz")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    parser.add_argument("--shard", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--shards", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.store:
        print(json.dumps(run_shard(arguments.store, arguments.level, arguments.shard, arguments.shards)))
        return
    for _ in range(arguments.repeats):
        one, two = (measure(arguments.level, arguments.frames, shards) for shards in (1, 2))
        cpu = [each["cpu"] / each["labels"] for each in (one, two)]
        idle = [1 - each["busy"] / each["open"] for each in (one, two)]
        speed_up = 2 * cpu[0] / cpu[1] * (1 - idle[1]) / (1 - idle[0])
        print(
            f"CPU s per label {cpu[0]:.3f} and {cpu[1]:.3f}, idle {100 * idle[0]:.1f} and {100 * idle[1]:.1f} %: "
            f"two are {speed_up:.2f} times as fast as one",
            flush=True,
        )


if __name__ == "__main__":
    main()
