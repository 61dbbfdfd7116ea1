"""Does a run cost what ``asteroid plan`` said: quote three small manifests, run them, compare.

    python -m benchmarks.plan_quote

Core-seconds are compared as CPU seconds, which a busy machine changes little; wall time means something on a quiet one.
Takes about ten minutes on two cores.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asteroid.manifest import load_manifest
from asteroid.store import Store

MANIFESTS = sorted((Path(__file__).parent / "manifests").glob("*.yaml"))


@dataclass(frozen=True)
class Comparison:
    """Quoted and actual seconds of one thing."""

    what: str
    quoted: float
    actual: float

    def __str__(self) -> str:
        return f"  {self.what:42} {self.quoted:9.1f} {self.actual:9.1f} {self.quoted / self.actual:7.2f}"


def asteroid(*arguments: str) -> Any:
    """Run a command and return the JSON that it prints."""
    command = [sys.executable, "-m", "asteroid.cli", *arguments, "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    # 3: a model that is not certified has cost what it has cost.
    if result.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)}\n{result.stderr}")
    return json.loads(result.stdout)


def cpu_seconds() -> float:
    """Of all children that have ended, and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(manifest: Path, store: str) -> Iterator[Comparison]:
    """Quote a manifest on an empty store, run it there, and compare."""
    quote = asteroid("plan", str(manifest), "--store", store)
    cpu, wall = cpu_seconds(), time.perf_counter()
    asteroid("run", str(manifest), "--store", store)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    for molecule in load_manifest(manifest).molecules:
        for level in (molecule.cheap, molecule.accurate):
            labels = [
                line
                for line in quote["lines"]
                if line["molecule"] == molecule.name and line["unit"] == "labels" and line["detail"] == str(level)
            ]
            ledger = Store(store).attempts(molecule.name, level)
            quoted = sum(line["core_seconds"] for line in labels)
            counted = sum(line["count"] for line in labels)
            yield Comparison(
                f"{molecule.name} {level}: {counted} labels, were {ledger.num_rows}",
                quoted,
                sum(ledger["cpu_seconds"].to_pylist()),
            )
    yield Comparison("all core-seconds", quote["core_seconds"], cpu)
    yield Comparison("wall time", quote["wall_seconds"], wall)
    size = sum(path.stat().st_size for path in Path(store).rglob("*") if path.is_file()) / 1e6
    yield Comparison("MB on disk", quote["disk"], size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", nargs="*", type=Path, default=MANIFESTS)
    for manifest in parser.parse_args().manifests:
        print(f"{manifest.name}, load {os.getloadavg()[0]:.1f}{'':22} quoted    actual   ratio", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for line in compare(manifest, folder):
                print(line, flush=True)


if __name__ == "__main__":
    main()
