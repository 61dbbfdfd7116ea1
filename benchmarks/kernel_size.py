"""Error and time of a correction for growing numbers of pairs, GFN2-xTB to the PBE labels of revised MD17.

    python -m benchmarks.kernel_size FOLDER --molecule paracetamol --pairs 147 250 490

FOLDER has the files of :mod:`benchmarks.rmd17`. Prints the force error on 100 test frames in meV/Å, and CPU seconds of
the fit with its choice of hyperparameters. Kernels only, without a network and a final model.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import make_labeller
from asteroid.levels import LevelOfTheory
from asteroid.processes import single_thread_environment
from asteroid.training.dataset import LabelledFrame
from asteroid.training.kernel import KernelModel
from asteroid.units import KILOCALORIE_PER_MOLE

TEST = 100


def differences(path: Path, count: int) -> list[LabelledFrame]:
    """The first frames of a file, with the difference of PBE from GFN2."""
    labeller = make_labeller(LevelOfTheory.parse("gfn2-xtb"))
    labeller.load()
    found = []
    with np.load(path) as data:
        for positions, energy, forces in zip(data["coords"][:count], data["energies"], data["forces"], strict=False):
            frame = Configuration(data["nuclear_charges"], positions)
            cheap = labeller.compute(frame)
            difference = LabelledFrame(
                frame, float(energy) * KILOCALORIE_PER_MOLE - cheap.energy, forces * KILOCALORIE_PER_MOLE - cheap.forces
            )
            found.append(difference)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--molecule", default="paracetamol")
    parser.add_argument("--pairs", type=int, nargs="+", default=[147, 250, 490])
    options = parser.parse_args()
    single_thread_environment()
    train = differences(options.folder / f"rmd17_{options.molecule}_train_01.npz", max(options.pairs))
    test = differences(options.folder / f"rmd17_{options.molecule}_test_01.npz", TEST)
    truth = np.array([frame.forces for frame in test])
    for count in options.pairs:
        started = time.process_time()
        kernel = KernelModel(train[:count])
        seconds = time.process_time() - started
        error = np.abs(np.array(kernel.predict([frame.configuration for frame in test])[1]) - truth).mean()
        print(f"{options.molecule}, {count} pairs: {1000 * error:.2f} meV/Å, {seconds:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
