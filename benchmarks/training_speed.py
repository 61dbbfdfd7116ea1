"""Training speed of asteroid compared with MACE's script: same model, data, batches, precision and loss.

On the GPU where there is one, otherwise on one thread, both train from random weights and evaluate the same held-out
frames equally often. Their output lines are timed from the start of the process, in wall and CPU seconds. The steady
state is the median time between evaluations, including these. Start-up includes imports, graphs, the model, and tracing
or compilation. The time to an error is the time until the smallest error of MACE's script is reached. The learning rate
follows a cosine in asteroid and is constant in MACE.

    python -m benchmarks.training_speed [--data FILE.npz] [--train 800] [--steps 2000] [--batch-size 20]

``FILE.npz`` has ``Z``, ``R``, ``E``, ``F`` of one molecule in eV and Å; by default, displaced geometries of
formaldehyde with GFN2-xTB labels are used.
"""

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.io import write

from asteroid.engines import make_labeller
from asteroid.levels import LevelOfTheory
from asteroid.manifest import TrainingSettings
from asteroid.processes import single_thread_environment
from asteroid.training.model import choose_device
from benchmarks.labelling_overhead import FORMALDEHYDE, displaced

MODEL = {"channels": 32, "max_l": 1, "max_ell": 2, "correlation": 3, "interactions": 2, "radial": 8, "r_max": 4.5}
LEARNING_RATE, ENERGY_WEIGHT, FORCES_WEIGHT, EMA, CLIP = 0.01, 1.0, 100.0, 0.99, 10.0
"""Default learning rate of MACE; asteroid uses the default of the manifest."""
VALID = 100
STEPS_PER_EVALUATION = 200
LEVEL = LevelOfTheory.parse("gfn2-xtb")

OURS = re.compile(r"step (?P<step>\d+) mae (?P<mae>\S+) at")
MACES = re.compile(r"Epoch (?P<step>\d+):.*MAE_F= *(?P<mae>[\d.]+) meV")


@dataclass(frozen=True)
class Line:
    """One evaluation: step, force MAE in meV/Å, and seconds since the start of the process."""

    step: int
    mae: float
    wall: float
    cpu: float


@dataclass(frozen=True)
class Speed:
    """Speed of one training.

    Args:
        frames_per_second, frames_per_cpu_second: in the steady state.
        start_up: wall seconds before the steady state.
        seconds_to_error: wall seconds until the target error; None if it is not reached.
        error: smallest force MAE, meV/Å.
    """

    name: str
    frames_per_second: float
    frames_per_cpu_second: float
    start_up: float
    seconds_to_error: float | None
    error: float


def label(path: str, count: int) -> None:
    """Write labelled geometries of formaldehyde; this process must not import torch, because it runs tblite."""
    labeller = make_labeller(LEVEL)
    configurations = displaced(FORMALDEHYDE, count)
    labels = [labeller.compute(configuration) for configuration in configurations]
    np.savez(
        path,
        Z=FORMALDEHYDE.numbers,
        R=[configuration.positions for configuration in configurations],
        E=[label.energy for label in labels],
        F=np.array([label.forces for label in labels]),
    )


def run(command: Sequence[str], pattern: re.Pattern[str], *, steps: int, request: str = "", cwd: str) -> list[Line]:
    """Run a training and time its output lines after evaluations.

    Args:
        steps: number of training steps for one ``step`` of the pattern.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=cwd
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(request)
    process.stdin.close()
    lines = []
    for text in process.stdout:
        if (found := pattern.search(text)) is not None:
            wall, cpu = time.perf_counter() - started, cpu_seconds(process.pid)
            lines.append(Line(steps * int(found["step"]), float(found["mae"]), wall, cpu))
    if process.wait() != 0 or len(lines) < 3:
        raise SystemExit(f"{' '.join(command)}: failed, or ended after {len(lines)} evaluations; three are needed")
    return lines


def cpu_seconds(process: int) -> float:
    """CPU seconds of a running process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def summarise(name: str, lines: Sequence[Line], batch_size: int, target: float) -> Speed:
    """Speed from the evaluations; ``target`` is an error in meV/Å."""
    pairs = list(itertools.pairwise(lines))
    wall = statistics.median((b.wall - a.wall) / (b.step - a.step) for a, b in pairs)
    cpu = statistics.median((b.cpu - a.cpu) / (b.step - a.step) for a, b in pairs)
    reached = next((line.wall for line in lines if line.mae <= target), None)
    start_up = lines[0].wall - wall * lines[0].step
    return Speed(name, batch_size / wall, batch_size / cpu, start_up, reached, min(line.mae for line in lines))


def run_maces(folder: str, data: dict[str, Any], arguments: argparse.Namespace) -> list[Line]:
    """Run ``mace_run_train`` on the same frames; other options have their defaults, as in asteroid's models."""
    for name, frames in (
        ("train", range(arguments.train)),
        ("valid", range(arguments.train, arguments.train + VALID)),
    ):
        images = [Atoms(data["Z"], data["R"][i]) for i in frames]
        for i, atoms in zip(frames, images, strict=True):
            atoms.info["REF_energy"] = float(data["E"][i])
            atoms.arrays["REF_forces"] = data["F"][i]
        write(Path(folder) / f"{name}.xyz", images, format="extxyz")
    steps_per_epoch = arguments.train // arguments.batch_size
    options = {
        "name": "benchmark",
        "train_file": "train.xyz",
        "valid_file": "valid.xyz",
        "E0s": "average",
        "hidden_irreps": f"{MODEL['channels']}x0e + {MODEL['channels']}x1o",
        "max_ell": MODEL["max_ell"],
        "correlation": MODEL["correlation"],
        "num_interactions": MODEL["interactions"],
        "num_radial_basis": MODEL["radial"],
        "r_max": MODEL["r_max"],
        "batch_size": arguments.batch_size,
        "valid_batch_size": 100,
        "max_num_epochs": arguments.steps // steps_per_epoch,
        "eval_interval": max(1, STEPS_PER_EVALUATION // steps_per_epoch),
        "loss": "weighted",
        "energy_weight": ENERGY_WEIGHT,
        "forces_weight": FORCES_WEIGHT,
        "lr": LEARNING_RATE,
        "ema_decay": EMA,
        "clip_grad": CLIP,
        "error_table": "PerAtomMAE",
        "default_dtype": arguments.precision,
        "device": arguments.device,
        "seed": 0,
    }
    script = str(Path(sys.executable).with_name("mace_run_train"))
    command = [script, "--ema", "--amsgrad", *(f"--{key}={value}" for key, value in options.items())]
    return run(command, MACES, steps=steps_per_epoch, cwd=folder)


def run_ours(data: str, arguments: argparse.Namespace) -> list[Line]:
    """Run asteroid's training."""
    stage = {
        "name": "benchmark",
        "steps": arguments.steps,
        "batch_size": arguments.batch_size,
        "learning_rate": TrainingSettings().learning_rate,
        "energy_weight": ENERGY_WEIGHT,
        "forces_weight": FORCES_WEIGHT,
        "ema_decay": EMA,
        "clip": CLIP,
        "keep_best": True,
        "patience": arguments.steps,
        "evaluate_every": STEPS_PER_EVALUATION,
        "seed": 0,
    }
    request = {
        "data": data,
        "model": MODEL,
        "stage": stage,
        "train": arguments.train,
        "valid": VALID,
        "precision": arguments.precision,
        "device": arguments.device,
    }
    command = [sys.executable, "-m", "benchmarks.our_training"]
    return run(command, OURS, steps=1, request=json.dumps(request), cwd=str(Path(__file__).parents[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--train", type=int, default=800, help="frames")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--precision", choices=["float32", "float64"], default="float32")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    arguments = parser.parse_args()
    arguments.device = choose_device(arguments.device).type
    single_thread_environment()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "data.npz")
        if arguments.data is None:
            label(path, arguments.train + VALID)
        else:
            with np.load(arguments.data) as given:
                chosen = np.random.default_rng(0).permutation(len(given["E"]))[: arguments.train + VALID]
                np.savez(path, Z=given["Z"], **{key: given[key][chosen] for key in ("R", "E", "F")})
        with np.load(path) as loaded:
            data = dict(loaded)
        maces, ours = run_maces(folder, data, arguments), run_ours(path, arguments)
    target = min(line.mae for line in maces)
    speeds = [
        summarise("mace_run_train", maces, arguments.batch_size, target),
        summarise("asteroid", ours, arguments.batch_size, target),
    ]
    print(torch.cuda.get_device_name() if arguments.device == "cuda" else "one CPU thread")
    print(f"{'':16}frames/s  frames/CPU s  start-up s  s to {target:.1f} meV/Å  best meV/Å")
    for speed in speeds:
        reached = "never" if speed.seconds_to_error is None else f"{speed.seconds_to_error:.0f}"
        rates = f"{speed.frames_per_second:8.0f}{speed.frames_per_cpu_second:14.0f}{speed.start_up:12.1f}"
        print(f"{speed.name:16}{rates}{reached:>18}{speed.error:12.1f}")
    print(json.dumps({"steps": arguments.steps, "batch_size": arguments.batch_size, "speeds": [*map(asdict, speeds)]}))


if __name__ == "__main__":
    main()
