"""Does a run cost what ``asteroid plan`` said: quote small manifests, run them, compare by the store's own account.

    python -m benchmarks.plan_quote
    python -m benchmarks.plan_quote --busy 2   # with two processes beside it that keep cores busy

Core-seconds are CPU seconds, which a busy machine changes little; wall time means something on a quiet one. Three
manifests take about ten minutes on two quiet cores.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MANIFESTS = sorted((Path(__file__).parent / "manifests").glob("*.yaml"))

KINDS = {
    "sampling": ("sampling",),
    "labels": ("cheap labels", "accurate labels", "minimum", "certificate labels"),
    "training": ("training", "exploration"),
    "validation": ("validation",),
}
"""Stages of a quote by what is compared."""


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


def compare(manifest: Path, store: str) -> Iterator[tuple[str, float, float, float]]:
    """Quote a manifest on an empty store, run it there, and compare: what, least and most quoted, actual."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    before = asteroid("plan", str(manifest), "--store", store)
    print(f"  planned in {time.perf_counter() - wall:.0f} s, {cpu_seconds() - cpu:.0f} core-seconds", flush=True)
    cpu, wall = cpu_seconds(), time.perf_counter()
    asteroid("run", str(manifest), "--store", store)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    after = asteroid("plan", str(manifest), "--store", store)
    for name in dict.fromkeys(line["molecule"] for line in before["lines"]):
        for kind, stages in KINDS.items():

            def total(quote: Any, key: str, stages: tuple[str, ...] = stages, name: str = name) -> float:
                return sum(line[key] for line in quote["lines"] if line["molecule"] == name and line["stage"] in stages)

            least, most = total(before, "least_core_seconds"), total(before, "core_seconds")
            yield f"{name} {kind}", least, most, total(after, "spent_core_seconds")
    yield "all core-seconds", before["least_core_seconds"], before["core_seconds"], cpu
    yield "wall time", before["wall_seconds"], before["wall_seconds"], wall
    size = sum(path.stat().st_size for path in Path(store).rglob("*") if path.is_file()) / 1e6
    yield "MB on disk", before["disk"], before["disk"], size


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Processes that compute for nothing."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", nargs="*", type=Path, default=MANIFESTS)
    parser.add_argument("--busy", type=int, default=0, help="processes that keep cores busy beside it")
    arguments = parser.parse_args()
    with busy(arguments.busy):
        for manifest in arguments.manifests:
            print(f"{manifest.name}, load {os.getloadavg()[0]:.1f}", flush=True)
            print(f"  {'':36} {'least':>9} {'quoted':>9} {'actual':>9} {'ratio':>7}", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                for what, least, most, actual in compare(manifest, folder):
                    ratio = most / actual if actual else float("nan")
                    print(f"  {what:36} {least:9.1f} {most:9.1f} {actual:9.1f} {ratio:7.2f}", flush=True)


if __name__ == "__main__":
    main()
