"""Corrected labels of geometries unlike the pairs: with and without fading.

    python -m benchmarks.shifted train.xyz --test test.xyz --scan dihedral.xyz transfer.xyz --pairs 25 50 --seeds 2

All files are extended XYZ with energies and forces at the accurate level (eV, eV/Å), of one molecule with the atoms in
the same order; cheap labels are computed. Pairs are drawn from the training file. The test file has geometries like
them; the others are shifted: scans of a dihedral or of a proton transfer, or frames of high energy. The table has the
energy error (RMSE in meV; of a scan relative to its lowest frame, otherwise to the mean error), the force error (MAE in
meV/Å) and the number of corrections that fade. Kernels only, without a network and a final model.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asteroid.api import label
from asteroid.configuration import Configuration
from asteroid.training.correction import Labels, learn_steps, lift
from asteroid.training.dataset import LabelledFrame


class File:
    """Frames of one file, at both levels.

    Args:
        scan: whether energies are relative to the lowest frame.
    """

    def __init__(self, path: str, cheap: str, *, scan: bool = False) -> None:
        from ase.io import read

        self.name, self.scan = Path(path).stem, scan
        frames = read(path, ":")
        cheap_labels = label(frames, cheap)
        configurations = [Configuration(atoms.numbers.tolist(), atoms.positions) for atoms in frames]
        self.accurate = [
            LabelledFrame(configuration, atoms.get_potential_energy(), atoms.get_forces())
            for configuration, atoms in zip(configurations, frames, strict=True)
        ]
        self.cheap = [
            LabelledFrame(configuration, found.energy, found.forces)
            for configuration, found in zip(configurations, cheap_labels, strict=True)
        ]

    def errors(self, labels: Sequence[LabelledFrame]) -> str:
        """Errors of energy and forces."""
        energies = np.array([f.energy - truth.energy for f, truth in zip(labels, self.accurate, strict=True)])
        lowest = int(np.argmin([frame.energy for frame in self.accurate]))
        energies -= energies[lowest] if self.scan else energies.mean()
        forces = np.array([f.forces for f in labels]) - np.array([f.forces for f in self.accurate])
        return f"{1000 * np.sqrt(np.mean(energies**2)):.1f} / {1000 * np.abs(forces).mean():.1f}"


def by_id(frames: Sequence[LabelledFrame]) -> Labels:
    return {frame.frame_id: frame for frame in frames}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("--test", required=True)
    parser.add_argument("--scan", nargs="*", default=[], help="files whose energies are relative to the lowest frame")
    parser.add_argument("--shifted", nargs="*", default=[], help="other files of geometries unlike the pairs")
    parser.add_argument("--cheap", default="gfn2-xtb")
    parser.add_argument("--pairs", type=int, nargs="+", default=[25, 50])
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    train = File(arguments.train, arguments.cheap)
    files = [File(path, arguments.cheap) for path in (arguments.test, *arguments.shifted)]
    files += [File(path, arguments.cheap, scan=True) for path in arguments.scan]
    print("Errors of energies in meV / of forces in meV/Å")
    print(f"| pairs | seed | frames | {arguments.cheap} | corrected | corrected and faded | faded frames |")
    print("|---|---|---|---|---|---|---|")
    for pairs in arguments.pairs:
        for seed in range(arguments.seeds):
            drawn = np.random.default_rng(seed).permutation(len(train.accurate))[:pairs]
            # Permutations of equal atoms are those of all training frames.
            kernels = learn_steps([by_id(train.cheap), by_id([train.accurate[i] for i in drawn])])
            for file in files:
                levels: list[Labels] = [by_id(file.cheap), {}]
                before, _ = lift(levels, kernels, fade=False)
                after, faded = lift(levels, kernels)
                errors = " | ".join(file.errors(labels) for labels in (file.cheap, before, after))
                print(f"| {pairs} | {seed} | {file.name} | {errors} | {faded} of {len(after)} |", flush=True)


if __name__ == "__main__":
    main()
