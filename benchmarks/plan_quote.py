"""Cost of runs compared with the estimates of ``asteroid plan``, for small manifests.

    python -m benchmarks.plan_quote
    python -m benchmarks.plan_quote --busy 2   # with two processes that keep cores busy

Core-seconds are CPU seconds, which hardly depend on other load; wall times are valid on a quiet machine only. Three
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
"""Compared kinds of cost, and their stages in an estimate."""


def asteroid(*arguments: str) -> Any:
    """Run a command and return the JSON that it prints."""
    command = [sys.executable, "-m", "asteroid.cli", *arguments, "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    # 3: the model is not certified.
    if result.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)}\n{result.stderr}")
    return json.loads(result.stdout)


def cpu_seconds() -> float:
    """CPU seconds of all finished child processes and their children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(manifest: Path, store: str) -> Iterator[tuple[str, float, float, float]]:
    """Estimate and run a manifest on an empty store; yields name, smallest and largest estimate, and actual value."""
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
                return float(
                    sum(line[key] for line in quote["lines"] if line["molecule"] == name and line["stage"] in stages)
                )

            least, most = total(before, "least_core_seconds"), total(before, "core_seconds")
            yield f"{name} {kind}", least, most, total(after, "spent_core_seconds")
    yield "all core-seconds", before["least_core_seconds"], before["core_seconds"], cpu
    yield "wall time", before["wall_seconds"], before["wall_seconds"], wall
    size = sum(path.stat().st_size for path in Path(store).rglob("*") if path.is_file()) / 1e6
    yield "MB on disk", before["disk"], before["disk"], size


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Processes that keep cores busy."""
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
    parser.add_argument("--busy", type=int, default=0, help="number of processes that keep cores busy")
    arguments = parser.parse_args()
    with busy(arguments.busy):
        for manifest in arguments.manifests:
            print(f"{manifest.name}, load {os.getloadavg()[0]:.1f}", flush=True)
            print(f"  {'':36} {'least':>9} {'estimate':>9} {'actual':>9} {'ratio':>7}", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                for what, least, most, actual in compare(manifest, folder):
                    ratio = most / actual if actual else float("nan")
                    print(f"  {what:36} {least:9.1f} {most:9.1f} {actual:9.1f} {ratio:7.2f}", flush=True)


if __name__ == "__main__":
    main()
