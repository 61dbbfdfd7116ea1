"""Labels per core-hour with density fitting, against a plain PySCF loop with exact integrals, for 20 atoms.

    python -m benchmarks.density_fitting [LEVEL …] [--exact]

A level is written without ``df-``. The loop is what a competent user writes: the same method, basis set, frozen core,
grid and grid response, PySCF's default thresholds, one thread. The molecule is paracetamol from its SMILES, relaxed
with a force field and displaced by 0.05 Å. Ratios are of CPU seconds within one run. The fitted label is compared with
that of the loop; with ``--exact``, with that of asteroid's exact level, which is timed as well.
"""

import argparse
import os

# Before numpy: the libraries read it once.
os.environ["OMP_NUM_THREADS"] = "1"

import resource
import time
from collections.abc import Callable

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import Result
from asteroid.engines.pyscf.ab_initio import PLAIN, SETTINGS, THRESHOLDS, PyscfLabeller
from asteroid.engines.pyscf.mean_field import make_mean_field
from asteroid.levels import LevelOfTheory
from asteroid.units import HARTREE, HARTREE_PER_BOHR
from benchmarks.geometries import geometry

LEVELS = ["pbe/def2-svp", "b3lyp/def2-svp", "mp2/def2-svp", "pbe/def2-tzvp", "b3lyp/def2-tzvp"]
PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"


def molecule() -> Configuration:
    """Paracetamol, off its equilibrium."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    graph = Chem.AddHs(Chem.MolFromSmiles(PARACETAMOL))
    rdDistGeom.EmbedMolecule(graph, randomSeed=0)
    rdForceFieldHelpers.MMFFOptimizeMolecule(graph)
    positions = graph.GetConformer().GetPositions()
    positions += np.random.default_rng(0).normal(0, 0.05, positions.shape)
    return geometry([atom.GetAtomicNum() for atom in graph.GetAtoms()], positions)


def plain_loop(level: LevelOfTheory, frame: Configuration) -> Result:
    """One label of PySCF by itself."""
    from pyscf import lib

    with lib.with_omp_threads(1):
        mean_field = make_mean_field(level, frame, grid_level=SETTINGS["grid_level"])
        mean_field.kernel()
        found = PLAIN[level.family](mean_field, True, THRESHOLDS)
    assert found.gradient is not None
    return Result(energy=found.energy * HARTREE, forces=-found.gradient * HARTREE_PER_BOHR)


def measure(text: str, frame: Configuration, *, exact: bool) -> None:
    """Print the lines of one level. The fitted label is first: peak memory only grows."""
    level = LevelOfTheory.parse(text)
    fast = level.fitted
    assert fast is not None
    ways: dict[str, Callable[[], Result]] = {f"asteroid, {fast}": lambda: PyscfLabeller(fast).compute(frame)}
    if exact:
        ways[f"asteroid, {level}"] = lambda: PyscfLabeller(level).compute(frame)
    ways[f"plain loop, {level}"] = lambda: plain_loop(level, frame)
    seconds, results, memory = {}, {}, {}
    for name, label in ways.items():
        start = time.process_time()
        results[name] = label()
        seconds[name] = time.process_time() - start
        memory[name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"  {name}: {seconds[name]:.0f} s", flush=True)
    names = list(ways)
    fitted, reference, loop = results[names[0]], results[names[1]], seconds[names[-1]]
    for name in names:
        print(f"{name:40}{3600 / seconds[name]:10.1f} labels/core-hour{loop / seconds[name]:8.2f} x", flush=True)
    assert fitted.forces is not None
    assert reference.forces is not None
    energy = 1e3 * (fitted.energy - reference.energy) / len(frame.numbers)
    forces = 1e3 * (fitted.forces - reference.forces)
    print(
        f"fitted − {names[1]}: {energy:.3f} meV/atom, forces {np.sqrt((forces**2).mean()):.3f} (largest "
        f"{abs(forces).max():.3f}) meV/Å; peak memory fitted {memory[names[0]]:.0f} MB\n",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("levels", nargs="*", default=LEVELS)
    parser.add_argument("--exact", action="store_true", help="asteroid's level with exact integrals, too")
    arguments = parser.parse_args()
    paracetamol = molecule()
    for each in arguments.levels:
        measure(each, paracetamol, exact=arguments.exact)
