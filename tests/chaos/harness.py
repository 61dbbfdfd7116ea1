"""Campaigns that are killed at random moments, and what must be true of the store afterwards."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.labelling.crew import HEARTBEAT
from asteroid.labelling.queue import CHUNK_SECONDS
from asteroid.levels import LevelOfTheory
from asteroid.store import Store

ROOT = Path(__file__).resolve().parents[2]
MOLECULE = "molecule"
FLUSH_SECONDS = 1.0
WORKERS = 2

METHANOL = Configuration(
    [6, 8, 1, 1, 1, 1],
    [[-0.7, 0, 0], [0.7, 0.1, 0], [-1.1, 0.5, 0.9], [-1.1, 0.5, -0.9], [-1.0, -1.0, 0], [1.0, -0.8, 0]],
)


@dataclass
class Toll:
    """What a scenario did: kills by kind, and labels that were made and lost with a killed parent."""

    scenario: str
    kills: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    frames: int = 0
    attempts: int = 0
    seconds: float = 0.0


def add_frames(store: Store, level: str, count: int, *, seed: int) -> None:
    """Select further displaced molecules for a label."""
    noise = np.random.default_rng(seed).normal(scale=0.03, size=(count, *METHANOL.positions.shape))
    configurations = [METHANOL.with_positions(METHANOL.positions + shift) for shift in noise]
    frames = [Frame(c, Origin("chaos"), group="0", split="train") for c in configurations]
    store.add_frames(MOLECULE, frames, batch=f"batch-{seed}")
    ids = [frame.frame_id for frame in frames]
    store.select(MOLECULE, LevelOfTheory.parse(level), ids, name=f"batch-{seed}", criterion="chaos")


class Campaign:
    """A campaign in a process of its own."""

    def __init__(self, url: str, level: str, *options: str, limit: Callable[[], None] | None = None) -> None:
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the campaign)
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, "-m", "tests.chaos.run", url, MOLECULE, level]
        command += ["--workers", str(WORKERS), "--flush", str(FLUSH_SECONDS), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self.output, stderr=self.errors, preexec_fn=limit)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def made(self) -> int:
        """Labels that it says it has made."""
        self.output.seek(0)
        lines = self.output.read().split()
        return int(lines[-1]) if lines else 0

    def workers(self) -> list[int]:
        return [pid for pid, command in children(self.process.pid).items() if "spawn_main" in command]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self, timeout: float = 300.0) -> str:
        """Let it end; what it said on standard error."""
        self.process.wait(timeout)
        self.errors.seek(0)
        return self.errors.read()


def children(parent: int) -> dict[int, str]:
    """Living children of a process and their command lines."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            command = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            found[int(stat.parent.name)] = command
    return found


def kill_hard(pid: int) -> bool:
    """Whether there was anything to kill."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def rampage(
    url: str, level: str, *, kills: int, seed: int, frames: int, campaigns: int = 1, shards: int = 1, pause: float = 0.6
) -> Toll:
    """Kill workers and parents of campaigns on one store at random moments, then let it be finished.

    Args:
        campaigns: pipelines that run at once on the same frames, each with all shards one after another.
        shards: of which each campaign process labels one.
        pause: s, the longest time between two kills.
    """
    dice = random.Random(seed)
    store, parsed = Store(url), LevelOfTheory.parse(level)
    toll = Toll(f"{level}, {campaigns} pipeline{'s' * (campaigns > 1)}, {shards} shard{'s' * (shards > 1)}")
    start = time.monotonic()
    add_frames(store, level, frames, seed=seed)
    batches = 1

    def begin(place: int) -> Campaign:
        return Campaign(url, level, "--shard", str(place % shards), "--shards", str(shards))

    running = [begin(place) for place in range(campaigns * shards)]
    try:
        while toll.kills.total() < kills:
            time.sleep(dice.uniform(0.02, pause))
            place = dice.randrange(len(running))
            campaign = running[place]
            if not campaign.running:
                assert campaign.process.returncode == 0, campaign.wait()
                if not store.pending(MOLECULE, parsed):
                    add_frames(store, level, frames, seed=seed + 1000 * batches)
                    batches += 1
                running[place] = begin(place)
            elif dice.random() < 0.25:
                stored = store.attempts(MOLECULE, parsed).num_rows
                campaign.kill()
                toll.kills["parent"] += 1
                toll.lost += max(0, campaign.made - stored)
                running[place] = begin(place)
            elif workers := campaign.workers():
                toll.kills["label worker"] += kill_hard(dice.choice(workers))
        for campaign in running:
            errors = campaign.wait()
            assert campaign.process.returncode == 0, errors
    finally:
        for campaign in running:
            campaign.kill()
    for shard in range(shards):
        # Those that waited for a shard's first owner have done what that one left.
        last = begin(shard)
        assert not last.wait(), "a finished store needs no more than a look"
    toll.seconds = time.monotonic() - start
    check(store, level, toll)
    return toll


def check(store: Store, level: str, toll: Toll) -> None:
    """Every frame has one label, none was labelled twice, and the ledger's counts add up."""
    parsed = LevelOfTheory.parse(level)
    ids = store.attempts(MOLECULE, parsed)["frame_id"].to_pylist()
    selected = store.selected(MOLECULE, parsed)
    assert len(ids) == len(set(ids)), "a frame was labelled twice"
    assert set(ids) == set(selected) == set(store.labels(MOLECULE, parsed))
    (row,) = (row for row in store.status() if row["level"] == level)
    assert row["frames"] == row["ok"] == len(selected)
    assert row["failed"] == row["rejected"] == 0
    toll.frames, toll.attempts = len(selected), len(ids)
    # With a parent go the labels since its last flush, and a flush waits for the chunk that is next finished.
    in_flight = WORKERS * (FLUSH_SECONDS + 2 * CHUNK_SECONDS + HEARTBEAT)
    label_seconds = float(np.mean(store.attempts(MOLECULE, parsed)["wall_seconds"].to_numpy()))
    assert toll.lost <= toll.kills["parent"] * max(WORKERS, in_flight / label_seconds)


def table(tolls: Sequence[Toll]) -> str:
    """What all scenarios did, for people."""
    kinds = sorted({kind for toll in tolls for kind in toll.kills})
    header = ["scenario", *kinds, "kills", "frames", "attempts", "lost labels", "s"]
    rows: list[list[object]] = []
    for toll in tolls:
        counts = [toll.kills.total(), toll.frames, toll.attempts, toll.lost, round(toll.seconds)]
        rows.append([toll.scenario, *(toll.kills[kind] for kind in kinds), *counts])
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
