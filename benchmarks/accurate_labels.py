"""Accurate labels per core-hour: asteroid compared with a plain PySCF loop, and the gain of each optimisation.

    python -m benchmarks.accurate_labels [--quick]

The loop has the same method, basis set, frozen core, grid and grid response, the correct lambda equations of CCSD(T), a
converged orbital response, and one thread; once with PySCF's default thresholds, once with ours. Frames are random
displacements of 0.05 Å. Ratios are of CPU seconds within one run; all variants take turns frame by frame, so that other
load affects all of them. Forces are compared with those of the loop with our thresholds.
"""

import argparse
import os

# Before the import of numpy, which reads it.
os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from asteroid.configuration import Configuration
from asteroid.engines.pyscf import ab_initio, plain
from asteroid.engines.pyscf.ab_initio import SETTINGS, THRESHOLDS
from asteroid.engines.pyscf.mean_field import make_mean_field, solve
from asteroid.levels import LevelOfTheory
from asteroid.units import HARTREE_PER_BOHR
from benchmarks.geometries import geometry

FORMALDEHYDE = geometry([6, 8, 1, 1], [[0, 0, -0.53], [0, 0, 0.68], [0, 0.94, -1.11], [0, -0.94, -1.11]])
METHANOL = geometry(
    [6, 8, 1, 1, 1, 1],
    [[-0.05, 0.67, 0], [-0.05, -0.76, 0], [-1.08, 0.97, 0], [0.44, 1.07, 0.89], [0.44, 1.07, -0.89], [0.86, -1.05, 0]],
)
ETHANOL = geometry(
    [6, 6, 8, 1, 1, 1, 1, 1, 1],
    [[1.17, -0.41, 0], [0, 0.56, 0], [-1.19, -0.22, 0], [-1.94, 0.39, 0], [2.1, 0.16, 0], [1.12, -1.04, 0.88],
     [1.12, -1.04, -0.88], [0.05, 1.2, 0.89], [0.05, 1.2, -0.89]],
)  # fmt: skip
CASES = [
    ("b3lyp/def2-svp", ETHANOL, 3),
    ("wb97m-d3bj/def2-svp", METHANOL, 6),
    ("r2scan/def2-tzvp", METHANOL, 2),
    ("mp2/cc-pvdz", METHANOL, 6),
    ("mp2/cc-pvtz", METHANOL, 2),
    ("ccsd/cc-pvdz", METHANOL, 4),
    ("ccsd(t)/cc-pvdz", FORMALDEHYDE, 6),
    ("ccsd(t)/cc-pvdz", METHANOL, 2),
]
QUICK = [("b3lyp/6-31g", METHANOL, 2), ("mp2/cc-pvdz", METHANOL, 2), ("ccsd(t)/6-31g", FORMALDEHYDE, 2)]

DEFAULTS = {"scf_energy": 1e-9, "scf_gradient": None}
DEFAULT_THRESHOLDS = replace(THRESHOLDS, energy=1e-7, amplitudes=1e-5, multipliers=1e-5)
"""PySCF's defaults, except for the orbital response, which does not converge with them."""

Label = Callable[[Configuration], npt.NDArray[np.float64] | None]


def plain_loop(level: LevelOfTheory, settings: dict[str, Any], thresholds: plain.Thresholds) -> Label:
    """Gradients with PySCF alone."""
    method = ab_initio.PLAIN[level.family]
    return lambda frame: method(_solved(level, frame, settings, plain_scf=True), True, thresholds)[1]


def optimisations(level: LevelOfTheory) -> dict[str, Label]:
    """The loop with our thresholds and one optimisation after the other; the last has all of asteroid's.

    The gain for triples is the difference between CCSD(T) and CCSD.
    """
    slow, fast = ab_initio.PLAIN[level.family], ab_initio._FAST[level.family]

    def final(frame: Configuration) -> Any:
        return fast(_solved(level, frame, SETTINGS), True, THRESHOLDS)[1]

    if level.family == "dft":
        two_grids: Label = lambda frame: slow(_solved(level, frame, SETTINGS), True, THRESHOLDS)[1]  # noqa: E731
        return {"two grids, integrals kept": two_grids, "+ gradient without matrices": final}
    name = "integrals contracted once"
    return {f"{name}, triples built once" if level.family == "ccsd(t)" else name: final}


def _solved(level: LevelOfTheory, frame: Configuration, settings: dict[str, Any], *, plain_scf: bool = False) -> Any:
    mean_field = make_mean_field(level, frame, grid_level=SETTINGS["grid_level"])
    mean_field.conv_tol, mean_field.conv_tol_grad = settings["scf_energy"], settings["scf_gradient"]
    solve(mean_field, plain=plain_scf)
    return mean_field


def measure(text: str, molecule: Configuration, frames: int) -> None:
    """Print a line for each loop and each optimisation."""
    from pyscf import lib

    level, random = LevelOfTheory.parse(text), np.random.default_rng(0)
    ways = {
        "loop, PySCF's thresholds": plain_loop(level, DEFAULTS, DEFAULT_THRESHOLDS),
        "loop, our thresholds": plain_loop(level, SETTINGS, THRESHOLDS),
        **optimisations(level),
    }
    seconds, errors = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    with lib.with_omp_threads(1):
        for _ in range(frames):
            frame = molecule.with_positions(molecule.positions + random.normal(0, 0.05, molecule.positions.shape))
            gradients = {}
            for name, label in ways.items():
                start = time.process_time()
                gradient = label(frame)
                assert gradient is not None
                gradients[name] = gradient
                seconds[name] += time.process_time() - start
            for name, gradient in gradients.items():
                difference = float(abs(gradient - gradients["loop, our thresholds"]).max()) * HARTREE_PER_BOHR
                errors[name] = max(errors[name], difference)
    first, second, *_ = seconds.values()
    print(f"\n{text}, {molecule.formula}, {frames} frames")
    print(f"{'':46}{'s/label':>9}{'labels/core-hour':>18}{'ratio':>7}{'ratio*':>8}{'largest ΔF, eV/Å':>19}")
    for name, spent in seconds.items():
        print(
            f"{name:46}{spent / frames:9.2f}{3600 * frames / spent:18.0f}{first / spent:7.2f}{second / spent:8.2f}"
            f"{errors[name]:19.1e}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three small cases, in a minute")
    cases = QUICK if parser.parse_args().quick else CASES
    # Load all libraries before the measurement.
    for family in ("b3lyp/sto-3g", "ccsd(t)/sto-3g"):
        ab_initio.PyscfLabeller(LevelOfTheory.parse(family)).compute(FORMALDEHYDE)
    print("ratio: to the loop at PySCF's thresholds; ratio*: to the loop at ours")
    for case in cases:
        measure(*case)
