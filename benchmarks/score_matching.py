"""Gain from configurations without labels: score matching on MD compared with accurate labels alone.

    python -m benchmarks.score_matching [--store FOLDER] [--accurate LEVEL] [--labels 10,25] [--seeds 0,1,2]

A small MACE model of formaldehyde learns the forces of GFN2-xTB from the distribution of geometries in MD at 1000 K
without labels, is fine-tuned on a few labels of another level, and tested on separate trajectories. ``unweighted``
pretrains on GFN2 labels of the same configurations, for comparison. A seed determines labelled frames, initial weights
and order. With ``--store``, an interrupted run continues.
"""

import argparse
import json
import os

# Before the import of numpy, which reads it.
os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from asteroid.configuration import Frame, Origin, Split
from asteroid.engines import make_labeller
from asteroid.labelling.campaign import run_campaign
from asteroid.levels import LevelOfTheory
from asteroid.manifest import ModelSettings, TrainingSettings
from asteroid.processes import call_in_process
from asteroid.sampling.dynamics import trajectory
from asteroid.store import Store
from benchmarks.geometries import geometry

FORMALDEHYDE = geometry([6, 8, 1, 1], [[0, 0, -0.53], [0, 0, 0.68], [0, 0.94, -1.11], [0, -0.94, -1.11]])
NAME = "formaldehyde"
CHEAP = LevelOfTheory.parse("gfn2-xtb")
TEMPERATURE = 1000.0
"""K, the same for the test frames."""

TRAJECTORIES = 8
LABELLED, TEST = 60, 200
"""Number of frames with accurate labels for training, and of test frames."""

STRATEGIES = ("scratch", "score-matching", "score-matching-exact", "score-matching-denoising", "unweighted")
MODEL = ModelSettings(channels=16, correlation=2)
HELD_OUT = 5


def sample(url: str, index: int, count: int) -> None:
    """Run one trajectory and store its frames; the last one is for tests, the one before for accurate labels."""
    parameters: dict[str, Any] = {"temperature": TEMPERATURE, "timestep": 0.5, "equilibration": 500.0, "interval": 25.0}
    geometries = islice(trajectory(make_labeller(CHEAP), FORMALDEHYDE, **parameters, seed=index), count)
    origin = Origin("md", parameters, index, FORMALDEHYDE.frame_id, TEMPERATURE)
    split: Split = "test" if index == TRAJECTORIES + 1 else "train"
    frames = [Frame(FORMALDEHYDE.with_positions(p), origin, f"md-{index}", split) for p in geometries]
    Store(url).add_frames(NAME, frames, batch=f"md-{index}")


def fill(url: str, accurate: LevelOfTheory, configurations: int) -> None:
    """Make missing trajectories and labels."""
    store = Store(url)
    counts = [configurations // TRAJECTORIES] * TRAJECTORIES + [LABELLED, TEST]
    for index, count in enumerate(counts):
        if not store.has_frame_batch(NAME, f"md-{index}"):
            call_in_process(sample, url, index, count)
    groups = frame_ids(store)
    for level, wanted in ((accurate, groups[TRAJECTORIES:]), (CHEAP, groups[:TRAJECTORIES])):
        store.select(NAME, level, [i for group in wanted for i in group], name="all", criterion="all")
        print(f"{level}: {run_campaign(store, NAME, level, workers=os.cpu_count() or 1)}", flush=True)


def frame_ids(store: Store) -> list[list[str]]:
    """Frame ids of each trajectory."""
    groups: list[list[str]] = [[] for _ in range(TRAJECTORIES + 2)]
    for frame in store.frames(NAME):
        groups[int(frame.group.removeprefix("md-"))].append(frame.frame_id)
    return groups


def measure(
    url: str, accurate: LevelOfTheory, strategy: Any, labels: int, seed: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Train and test a model, in a process with torch."""
    from asteroid.data.training_set import TrainingSet
    from asteroid.training.dataset import labelled_frames
    from asteroid.training.predict import predict
    from asteroid.training.run import load_model, train_model

    store = Store(url)
    *sampled, pool, test = frame_ids(store)
    drawn = np.random.default_rng(seed).permutation(sorted(pool)).tolist()
    card = train_model(
        store,
        NAME,
        TrainingSet.of_molecule(
            NAME,
            cheap=CHEAP,
            accurate=accurate,
            train=drawn[:labels],
            valid=drawn[labels : labels + HELD_OUT],
            cheap_frames=[frame_id for group in sampled for frame_id in group],
        ),
        strategy=strategy,
        settings=TrainingSettings(model=MODEL, seed=seed, device="cpu", **options),
    )
    truth = labelled_frames(store, NAME, accurate, test)
    _, forces = predict(load_model(store, NAME, card.model_id), [frame.configuration for frame in truth])
    errors = np.array([found - np.array(frame.forces) for found, frame in zip(forces, truth, strict=True)])
    return {
        "strategy": strategy,
        "labels": labels,
        "seed": seed,
        "force_mae": float(np.abs(errors).mean()),
        "seconds": sum(card.seconds.values()),
    }


def report(results: Sequence[dict[str, Any]]) -> None:
    """Print a line for each strategy and number of labels, with the standard deviation over seeds."""
    print(f"{'labels':>6}  {'strategy':28}{'force MAE, meV/Å':>18}{'of scratch':>12}{'training, s':>13}")
    scratch: dict[int, float] = {}
    for labels, strategy in dict.fromkeys((result["labels"], result["strategy"]) for result in results):
        rows = [row for row in results if (row["labels"], row["strategy"]) == (labels, strategy)]
        errors = np.array([1000 * row["force_mae"] for row in rows])
        if strategy == "scratch":
            scratch[labels] = errors.mean()
        relative = f"{errors.mean() / scratch[labels]:.2f}" if labels in scratch else ""
        seconds = np.mean([row["seconds"] for row in rows])
        mae = f"{errors.mean():.1f} ± {errors.std():.1f}"
        print(f"{labels:6}  {strategy:28}{mae:>18}{relative:>12}{seconds:13.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="kept; a temporary folder when not given")
    parser.add_argument("--configurations", type=int, default=4000)
    parser.add_argument("--accurate", type=LevelOfTheory.parse, default="mp2/6-31g*")
    parser.add_argument("--labels", default="10,25", help="numbers of accurate labels to fine-tune on")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON of other training settings")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = str(Path(arguments.store).absolute()) if arguments.store else folder
        fill(url, arguments.accurate, arguments.configurations)
        results = [
            call_in_process(measure, url, arguments.accurate, strategy, labels, seed, arguments.settings)
            for labels in map(int, arguments.labels.split(","))
            for strategy in arguments.strategies.split(",")
            for seed in map(int, arguments.seeds.split(","))
        ]
    report(results)


if __name__ == "__main__":
    # Child processes import functions by module name, which must not be __main__.
    from benchmarks import score_matching

    score_matching.main()
