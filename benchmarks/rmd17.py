"""Models from 50 labels of revised MD17, beside published ones.

    python -m benchmarks.rmd17 FOLDER --molecules ethanol paracetamol --labels 50 --seeds 0 1 2

FOLDER has the files of revised MD17 (Christensen and von Lilienfeld, arXiv 2007.09593): ``rmd17_NAME_train_01.npz`` and
``rmd17_NAME_test_01.npz``. The labels are PBE/def2-SVP. Of the training frames, the last fifth is for early stopping;
held-out frames are counted as labels. The cheap level labels the geometries of the training file. It runs ``asteroid
compare`` for each molecule, so it goes on after an interruption, and leaves its page for each. The published errors are
those of Batatia et al., arXiv 2206.07697, Table 2, from 50 labels; MACE there has 256 channels and L = 3.

With a chain of levels, such as ``training: {ladder: [df-pbe/def2-svp]}`` and ``budget: {ladder: 120}`` in the manifest,
the frames of the seed are labelled at these levels first. Give one seed, and each seed its own folder: a model learns
from all labels in between that its store has.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from asteroid.comparison.plan import frames_by_split, in_drawn_order
from asteroid.labelling.campaign import run_campaign
from asteroid.manifest import load_manifest
from asteroid.store import Store
from asteroid.store.rows import core_seconds

PUBLISHED = {
    "ethanol": (32.6, 40.2),
    "malonaldehyde": (43.3, 52.5),
    "aspirin": (43.9, 52.0),
    "paracetamol": (31.5, 39.7),
    "salicylic": (28.4, 35.0),
    "toluene": (12.1, 15.1),
    "benzene": (2.7, 2.9),
    "naphthalene": (9.2, 10.0),
    "azobenzene": (17.7, 20.0),
    "uracil": (25.9, 40.1),
}
"""Force MAE of MACE and NequIP from 50 labels, meV/Å."""

LEVEL = "pbe/def2-svp"
HELD_OUT = 0.2


def convert(source: Path, target: Path, frames: slice) -> None:
    """Write some frames of a file with the keys that ``asteroid import`` reads; the units stay."""
    with np.load(source) as data:
        positions, numbers = data["coords"][frames], data["nuclear_charges"]
        count = len(positions)
        np.savez(
            target,
            N=np.full(count, len(numbers)),
            Z=np.tile(numbers, (count, 1)),
            R=positions,
            E=data["energies"][frames].ravel(),
            F=data["forces"][frames],
        )


def asteroid(*arguments: str | Path) -> None:
    """Run a command of asteroid; raises CalledProcessError when it fails."""
    subprocess.run([sys.executable, "-m", "asteroid.cli", *map(str, arguments)], check=True)


def label_between(store: Store, molecule: str, manifest: Path, seed: int) -> None:
    """Labels at the intermediate levels of a manifest; the accurate training frames of the seed come first."""
    (settings,) = [each for each in load_manifest(manifest).molecules if each.name == molecule]
    frames = in_drawn_order(frames_by_split(store, molecule)["train"], seed)
    for level, count in settings.ladder_labels.items():
        store.select(molecule, level, frames[:count], name=f"ladder-{count}", criterion="drawn")
        run_campaign(store, molecule, level, workers=len(os.sched_getaffinity(0)))
        seconds = core_seconds(store.attempts(molecule, level))
        print(f"{molecule}: {count} labels at {level}, {np.median(seconds):.2f} core-seconds each (median)", flush=True)


def compare(molecule: str, options: argparse.Namespace) -> list[dict[str, float]]:
    """Results of all strategies, numbers of labels and seeds for one molecule."""
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    train, test = (options.folder / f"rmd17_{molecule}_{part}_01.npz" for part in ("train", "test"))
    with np.load(train) as data:
        fitted = round(len(data["coords"]) * (1 - HELD_OUT))
    parts = {"train": (train, slice(0, fitted)), "valid": (train, slice(fitted, None)), "test": (test, slice(None))}
    store = folder / "store"
    for split, (source, frames) in parts.items():
        converted = folder / f"{molecule}-{split}.npz"
        convert(source, converted, frames)
        where = ("--molecule", molecule, "--store", store, "--level", LEVEL, "--split", split)
        asteroid("import", converted, *where, "--energy-unit", "kcal/mol")
    if options.manifest:
        label_between(Store(str(store)), molecule, options.manifest, options.seeds[0])
    result = folder / f"{molecule}.json"
    lists = {"--n-accurate": options.labels, "--seeds": options.seeds, "--variants": options.variants}
    asteroid(
        *("compare", "--molecule", molecule, "--cheap", options.cheap, "--accurate", LEVEL, "--store", store),
        *(word for flag, values in lists.items() for word in (flag, ",".join(map(str, values)))),
        *("--test-frames", str(options.test_frames), "--valid-fraction", str(HELD_OUT), "--out", result),
        *(("--manifest", options.manifest) if options.manifest else ()),
    )
    rows: list[dict[str, float]] = json.loads(result.read_text())["results"]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with the files of revised MD17")
    parser.add_argument("--molecules", nargs="+", default=["ethanol"], choices=PUBLISHED)
    parser.add_argument("--labels", type=int, nargs="+", default=[50])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=["scratch", "corrected"])
    parser.add_argument("--cheap", default="gfn2-xtb")
    parser.add_argument("--test-frames", type=int, default=1000)
    parser.add_argument("--manifest", type=Path, help="training settings, under the molecule's name")
    parser.add_argument("--out", type=Path, default=Path("rmd17"), help="folder for store, pages and results")
    options = parser.parse_args()
    lines = []
    for molecule in options.molecules:
        rows = compare(molecule, options)
        for labels in options.labels:
            cells = []
            for variant in options.variants:
                found = [r for r in rows if r["variant" if "variant" in r else "arm"] == variant]
                errors = [1000 * r["force_mae"] for r in found if r["n_accurate"] == labels and r["force_mae"]]
                spread = f" ± {np.std(errors, ddof=1):.1f}" if len(errors) > 1 else ""
                cells.append(f"{np.mean(errors):.1f}{spread}" if errors else "–")
            published = PUBLISHED[molecule] if labels == 50 else ("–", "–")
            lines.append(f"| {molecule}, {labels} | {' | '.join(cells)} | {published[0]} | {published[1]} |")
    print(f"\nForce MAE, meV/Å, {len(options.seeds)} seeds (± standard deviation), {options.cheap} as cheap level")
    print(f"| molecule, labels | {' | '.join(options.variants)} | published MACE | published NequIP |")
    print("|---" * (3 + len(options.variants)) + "|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
