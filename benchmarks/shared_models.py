"""One model of several molecules compared with separate models, for equal labels, and tested on an unseen molecule.

    asteroid run …  (for a store with labels of the molecules), then
    python -m benchmarks.shared_models STORE --molecules methanol ethanol propanol --unseen butanol \
        --accurate 'mp2/6-31g*' --labels 12 25 50

Prints force errors on each molecule's test frames, in meV/Å, and core-seconds of the trainings. The shared model has as
many steps per molecule as a separate model. For the unseen molecule, the comparison is with the cheap level and with a
separate model with ten labels. Results are stored in ``STORE/benchmarks`` and not computed again.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from asteroid.data.training_set import TrainingFrames, TrainingSet
from asteroid.levels import LevelOfTheory
from asteroid.naming import digest
from asteroid.processes import CleanContext, single_thread_environment
from asteroid.sampling.choose import chosen_accurate
from asteroid.settings import BudgetSettings, ModelSettings, TrainingSettings
from asteroid.store import Store

CHEAP = LevelOfTheory("gfn2-xtb")
MODEL = ModelSettings(channels=16, correlation=2, r_max=4.5)
STEPS = {"pretrain_steps": 1500, "finetune_steps": 400, "correction_steps": 800}
UNSEEN_LABELS = 10


@dataclass(frozen=True)
class Job:
    """One training.

    Args:
        molecules: to train on.
        judged: to test on (a key of stored results).
    """

    store: str
    accurate: str
    molecules: tuple[str, ...]
    judged: tuple[str, ...]
    labels: int
    seed: int
    strategy: str


def run(job: Job) -> dict[str, Any]:
    """Train and test a model, or read the stored result."""
    store = Store(job.store)
    path = f"benchmarks/shared-{digest([vars(job) | {'store': ''}, STEPS, MODEL.model_dump()])}.json"
    if not store.exists(path):
        store.write_json(path, _compute(store, job))
    return store.read_json(path)


def _compute(store: Store, job: Job) -> dict[str, Any]:
    import mace.calculators  # noqa: F401

    from asteroid.training.run import load_model, train_model

    accurate = LevelOfTheory.parse(job.accurate)
    frames = {name: frames_of(store, name, accurate, job.labels) for name in job.molecules}
    steps = {name: count * len(frames) for name, count in STEPS.items()}
    settings = TrainingSettings(strategy=job.strategy, model=MODEL, seed=job.seed, device="cpu", **steps)
    data = TrainingSet(CHEAP, accurate, frames)
    card = train_model(store, "-".join(job.molecules), data, strategy=job.strategy, settings=settings)  # type: ignore[arg-type]
    model = load_model(store, card.molecule, card.model_id)
    return {
        "job": vars(job) | {"store": ""},
        "core_seconds": card.core_seconds,
        "correction": card.correction,
        "errors": {name: force_error(store, name, accurate, model) for name in job.judged},
    }


def frames_of(store: Store, molecule: str, accurate: LevelOfTheory, labels: int) -> TrainingFrames:
    """The frames of a budget with this number of labels."""
    budget = BudgetSettings(accurate=labels)
    known, cheap = store.labels(molecule, accurate), store.labels(molecule, CHEAP)
    splits = {frame.frame_id: frame.split for frame in store.frames(molecule)}
    # Selections of larger budgets start with those of smaller ones.
    train, valid = (
        tuple(i for i in _largest(store, molecule, accurate, split) if i in known)[:count]
        for split, count in (("train", budget.train), ("valid", budget.valid))
    )
    return TrainingFrames(train, valid, cheap=tuple(i for i in cheap if splits.get(i) == "train"))


def _largest(store: Store, molecule: str, accurate: LevelOfTheory, split: str) -> list[str]:
    from asteroid.manifest import MoleculeSettings

    settings = MoleculeSettings(name=molecule, smiles="C", accurate=accurate)
    return chosen_accurate(store, settings, split)  # type: ignore[arg-type]


def force_error(store: Store, molecule: str, accurate: LevelOfTheory, model: Any) -> float:
    """Force MAE on a molecule's test frames, eV/Å, of a model, or of the cheap level for None."""
    from asteroid.training.predict import predict

    known, cheap = store.labels(molecule, accurate), store.labels(molecule, CHEAP)
    test = [frame for frame in store.frames(molecule, split="test") if frame.frame_id in known]
    if model is None:
        forces: Sequence[Any] = [cheap[frame.frame_id].forces for frame in test]
    else:
        _, forces = predict(model, [frame.configuration for frame in test])
    errors = [np.abs(f - known[t.frame_id].forces).mean() for f, t in zip(forces, test, strict=True)]
    return float(np.mean(errors))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--molecules", nargs="+", required=True)
    parser.add_argument("--unseen", required=True)
    parser.add_argument("--accurate", required=True)
    parser.add_argument("--labels", nargs="+", type=int, default=[12, 25, 50])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    single_thread_environment()
    everything = (*options.molecules, options.unseen)

    def job(molecules: Sequence[str], tested: Sequence[str], labels: int, seed: int) -> Job:
        return Job(options.store, options.accurate, tuple(molecules), tuple(tested), labels, seed, "corrected")

    jobs = [job([options.unseen], [options.unseen], UNSEEN_LABELS, seed) for seed in range(options.seeds)]
    for labels in options.labels:
        for seed in range(options.seeds):
            jobs.append(job(options.molecules, everything, labels, seed))
            jobs += [job([name], [name], labels, seed) for name in options.molecules]
    with ProcessPoolExecutor(options.workers, mp_context=CleanContext()) as pool:
        results = []
        for result in pool.map(run, jobs):
            results.append(result)
            print(json.dumps({key: result[key] for key in ("job", "errors", "core_seconds")}), flush=True)
    store = Store(options.store)
    cheap = {name: force_error(store, name, LevelOfTheory.parse(options.accurate), None) for name in everything}
    print_table(results, cheap, options)


def print_table(results: Sequence[Mapping[str, Any]], cheap: Mapping[str, float], options: argparse.Namespace) -> None:
    """Print means over seeds, meV/Å."""

    def of(molecules: Sequence[str], labels: int) -> list[Mapping[str, Any]]:
        wanted = (list(molecules), labels)
        return [r for r in results if (list(r["job"]["molecules"]), r["job"]["labels"]) == wanted]

    def mean(molecules: Sequence[str], tested: str, labels: int) -> float:
        return 1000 * float(np.mean([r["errors"][tested] for r in of(molecules, labels)]))

    def seconds(molecules: Sequence[str], labels: int) -> float:
        return float(np.mean([r["core_seconds"] for r in of(molecules, labels)]))

    print(f"\nForce MAE, meV/Å, {options.seeds} seed(s); cheap level last")
    print("| molecule | " + " | ".join(f"{n} labels: shared / separate" for n in options.labels) + " | gfn2-xtb |")
    for name in options.molecules:
        each = [f"{mean(options.molecules, name, n):.1f} / {mean([name], name, n):.1f}" for n in options.labels]
        print(f"| {name} | " + " | ".join(each) + f" | {1000 * cheap[name]:.0f} |")
    own = mean([options.unseen], options.unseen, UNSEEN_LABELS)
    each = [f"{mean(options.molecules, options.unseen, n):.1f} / {own:.1f}" for n in options.labels]
    print(f"| {options.unseen} (unseen; separate: {UNSEEN_LABELS} labels) | " + " | ".join(each), end="")
    print(f" | {1000 * cheap[options.unseen]:.0f} |")
    for n in options.labels:
        apart = sum(seconds([name], n) for name in options.molecules)
        print(f"{n} labels: {seconds(options.molecules, n):.0f} core-seconds shared, {apart:.0f} separate")


if __name__ == "__main__":
    # Child processes import functions by module name, which must not be __main__.
    from benchmarks.shared_models import main as start

    start()
