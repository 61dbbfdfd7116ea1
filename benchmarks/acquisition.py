"""Comparison of the criteria of acquisition on a pool with known labels.

    python -m benchmarks.acquisition --store FOLDER --molecule NAME --cheap LEVEL --accurate LEVEL --out FILE.jsonl
        [--learner kernel] [--shifted] [--seeds 0,1,2,3,4] [--criteria …] [--initial 10] [--batch 10] [--rounds 6]

The store has labels of both levels for all frames. For each seed, all criteria start with the same accurate labels, and
each picks batches with a model of :mod:`benchmarks.acquisition_learners`. Test frames are not in the pool: they are
random groups or, with ``--shifted``, the frames with the highest cheap energies, while the pool has the lower half.
Results are one JSON line per round; an interrupted run continues, a finished one prints tables.
"""

import argparse
import contextlib
import json
import os

# Before the import of numpy, which reads it.
os.environ["OMP_NUM_THREADS"] = "1"

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from asteroid.acquisition.calibration import calibrate
from asteroid.acquisition.criteria import Pool, pick
from asteroid.comparison.statistics import labels_of_scratch, mean_over_seeds
from asteroid.levels import LevelOfTheory
from asteroid.settings import Criterion
from asteroid.store import Store

if TYPE_CHECKING:
    from benchmarks.acquisition_learners import Fitted, Oracle

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]

TEST_PART, POOL_PART, SHIFTED_TEST_PART = 0.3, 0.5, 0.25
"""Parts of all frames: random test frames; lower energies for a shifted pool, higher energies for its test frames."""

HELD_OUT = 10
"""Number of frames for early stopping and for the calibration of the uncertainty, the same for all criteria."""


@dataclass(frozen=True)
class Task:
    """A labelled molecule and the settings of the rounds.

    Args:
        shifted: whether the test frames are of higher energy than the pool.
    """

    store: Store
    molecule: str
    cheap: LevelOfTheory
    accurate: LevelOfTheory
    shifted: bool
    initial: int
    batch: int
    rounds: int


@dataclass(frozen=True)
class Division:
    """Frame ids; the pool in random order."""

    pool: list[str]
    held_out: list[str]
    test: list[str]


def divide(task: Task, seed: int) -> Division:
    """Pool, held-out and test frames of a seed; random test frames are whole groups."""
    cheap = task.store.labels(task.molecule, task.cheap)
    accurate = task.store.labels(task.molecule, task.accurate)
    frames = [f for f in task.store.frames(task.molecule) if f.frame_id in cheap and f.frame_id in accurate]
    random = np.random.default_rng(seed)
    if task.shifted:
        ids = sorted((f.frame_id for f in frames), key=lambda i: cheap[i].energy or 0.0)
        pool, test = ids[: int(POOL_PART * len(ids))], ids[int((1 - SHIFTED_TEST_PART) * len(ids)) :]
    else:
        groups = sorted({f.group for f in frames})
        order = {groups[i]: place for place, i in enumerate(random.permutation(len(groups)))}
        ids = [f.frame_id for f in sorted(frames, key=lambda f: (order[f.group], f.frame_id))]
        pool, test = ids[int(TEST_PART * len(ids)) :], ids[: int(TEST_PART * len(ids))]
        of_group = {f.frame_id: f.group for f in frames}
        pool = [i for i in pool if of_group[i] != of_group[test[-1]]]
    drawn = [pool[i] for i in random.permutation(len(pool))]
    return Division(drawn[HELD_OUT:], drawn[:HELD_OUT], test)


def run_seed(
    task: Task, seed: int, learner: str, criteria: Sequence[Criterion], known: Sequence[Row], out: Path
) -> None:
    """Run all missing rounds of one seed and append each result to the file."""
    from asteroid.training.dataset import labelled_frames
    from benchmarks.acquisition_learners import LEARNERS, Oracle

    division = divide(task, seed)
    cheap, accurate = (
        {frame.frame_id: frame for frame in labelled_frames(task.store, task.molecule, level)}
        for level in (task.cheap, task.accurate)
    )
    levels = (task.cheap, task.accurate)
    oracle = Oracle(task.store, task.molecule, levels, cheap, accurate, division.pool, division.held_out, seed)
    for criterion in criteria:
        labelled = division.pool[: task.initial]
        for index in range(task.rounds + 1):
            key: Row = {
                "learner": learner,
                "shifted": task.shifted,
                "seed": seed,
                "criterion": criterion,
                "round": index,
            }
            row = next((row for row in known if key.items() <= row.items()), None)
            if row is None:
                fitted = LEARNERS[learner](oracle, labelled)
                count = 0 if index == task.rounds else task.batch
                row = key | run_round(fitted, oracle, division, labelled, criterion, count)
                with out.open("a") as file:
                    file.write("\n" + json.dumps(row))
                shown = {k: v for k, v in row.items() if k != "picked"}
                print(json.dumps(shown), flush=True)
            labelled = [*labelled, *row["picked"]]


def run_round(
    fitted: "Fitted", oracle: "Oracle", division: Division, labelled: Sequence[str], criterion: Criterion, count: int
) -> Row:
    """Test the model, and pick the next batch."""
    differences = _differences(fitted, oracle.accurate, division.test)
    errors = _of_frames(differences)
    row: Row = {
        "labels": len(labelled),
        "mae": float(errors.mean()),
        "rmse": math.sqrt(np.mean([np.square(each).mean() for each in differences])),
        "worst": float(np.sort(errors)[-max(1, round(0.01 * len(errors))) :].mean()),
        "covered": None,
        "picked": [],
    }
    taken = set(labelled)
    candidates = [i for i in division.pool if i not in taken]
    uncertainty = None
    if criterion.startswith("committee"):
        uncertainty = fitted.uncertainty(candidates)
        known = _of_frames(_differences(fitted, oracle.accurate, division.held_out))
        bound = calibrate(fitted.uncertainty(division.held_out), known).bound(fitted.uncertainty(division.test))
        row["covered"] = float(np.mean(errors <= bound))
    if count:
        pool = Pool(
            fitted.descriptors(candidates),
            uncertainty,
            # All candidates have cheap labels.
            _of_frames(_differences(fitted, oracle.cheap, candidates)),
            fitted.descriptors(labelled),
        )
        row["picked"] = [candidates[i] for i in pick(criterion, pool, count, seed=oracle.seed)]
    return row


def _differences(fitted: "Fitted", labels: Mapping[str, Any], ids: Sequence[str]) -> list[Floats]:
    """(N, 3) eV/Å of each frame: forces of the model minus those of the label."""
    return [forces - labels[i].forces for forces, i in zip(fitted.forces(ids), ids, strict=True)]


def _of_frames(differences: Sequence[Floats]) -> Floats:
    """Mean absolute difference of each frame, eV/Å."""
    return np.array([np.abs(each).mean() for each in differences])


def report(rows: Sequence[Row]) -> None:
    """Print learning curves with standard errors over seeds, and each criterion compared with random."""
    for learner, shifted in sorted({(row["learner"], row["shifted"]) for row in rows}):
        here = [row for row in rows if (row["learner"], row["shifted"]) == (learner, shifted)]
        criteria = list(dict.fromkeys(row["criterion"] for row in here))
        print(f"\n{learner}, test frames {'of higher energy than' if shifted else 'like'} the pool")
        for value, name in (("mae", "force MAE"), ("worst", "mean of the worst 1 % of frames")):
            print(f"{name}, meV/Å\n{'labels':>6}" + "".join(f"{criterion:>20}" for criterion in criteria))
            for labels in sorted({row["labels"] for row in here}):
                print(f"{labels:6}" + "".join(f"{_cell(here, criterion, labels, value):>20}" for criterion in criteria))
        for criterion in criteria:
            if criterion != "random":
                _against_random(here, criterion)


def _cell(rows: Sequence[Row], criterion: str, labels: int, value: str) -> str:
    values = [1000 * row[value] for row in rows if (row["criterion"], row["labels"]) == (criterion, labels)]
    if not values:
        return ""
    found = mean_over_seeds(values)
    return f"{found.mean:.2f}" + ("" if found.standard_error is None else f" ± {found.standard_error:.2f}")


def _against_random(rows: Sequence[Row], criterion: str) -> None:
    """Print labels needed for the final error of random, and errors with as many labels, over finished seeds."""
    of = {(row["seed"], row["criterion"], row["labels"]): row for row in rows}
    final = max(row["labels"] for row in rows)
    seeds = sorted(s for s, name, n in of if (name, n) == (criterion, final) and (s, "random", final) in of)
    needed, bounded, errors, worst = [], 0, [], []
    for seed in seeds:
        ours, theirs = of[seed, criterion, final], of[seed, "random", final]
        curve = {n: row["mae"] for (s, name, n), row in of.items() if (s, name) == (seed, criterion)}
        found = labels_of_scratch(theirs["mae"], curve)
        if found is None:
            continue
        needed.append(found.labels / final)
        bounded += found.bound == "at least"
        errors.append(ours["mae"] / theirs["mae"])
        worst.append(ours["worst"] / theirs["worst"])
    if needed:
        print(
            f"{criterion}, {len(needed)} seeds: {_ratio(needed)} of the labels of random for its last error"
            f"{f' (more in {bounded} of {len(needed)} seeds)' if bounded else ''}; at as many labels "
            f"{_ratio(errors)} of its error, {_ratio(worst)} of its worst 1 %{_coverage(rows, criterion)}"
        )


def _ratio(values: Sequence[float]) -> str:
    """Geometric mean with Student's 95% interval of the logarithms."""
    found = mean_over_seeds(np.log(values).tolist())
    if found.low is None or found.high is None:
        return f"{math.exp(found.mean):.2f}"
    return f"{math.exp(found.mean):.2f} ({math.exp(found.low):.2f} to {math.exp(found.high):.2f})"


def _coverage(rows: Sequence[Row], criterion: str) -> str:
    found = [row["covered"] for row in rows if row["criterion"] == criterion and row["covered"] is not None]
    return f"; the 90 % bound held for {100 * np.mean(found):.0f} % of test frames" if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--molecule", required=True)
    parser.add_argument("--cheap", type=_level, required=True)
    parser.add_argument("--accurate", type=_level, required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help="results, one JSON line per round; continued if it exists"
    )
    parser.add_argument("--learner", choices=("mace", "kernel"), default="mace")
    parser.add_argument("--shifted", action="store_true", help="test on frames with higher energies than the pool")
    parser.add_argument("--criteria", default=",".join(get_args(Criterion)))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--initial", type=int, default=10)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    with contextlib.redirect_stdout(io.StringIO()):
        import mace.calculators  # noqa: F401  (prints messages)
    task = Task(
        Store(arguments.store),
        arguments.molecule,
        arguments.cheap,
        arguments.accurate,
        arguments.shifted,
        arguments.initial,
        arguments.batch,
        arguments.rounds,
    )
    for seed in map(int, arguments.seeds.split(",")):
        criteria = arguments.criteria.split(",")
        run_seed(task, seed, arguments.learner, criteria, _read(arguments.out), arguments.out)
    report(_read(arguments.out))


def _level(text: str) -> LevelOfTheory:
    return LevelOfTheory.parse(text, imported=True)


def _read(path: Path) -> list[Row]:
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        # The last line may be incomplete after a kill.
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


if __name__ == "__main__":
    main()
