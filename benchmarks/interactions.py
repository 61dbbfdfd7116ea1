"""Interaction energies of a cluster: a certified model against its accurate level.

    asteroid run …  (a model of a cluster and of its monomers, such as manifests/water.yaml), then
    python -m benchmarks.interactions STORE --cluster dimer --level mp2/def2-svp

The interaction energy is that of the cluster minus those of its fragments in the same geometry, without counterpoise
correction. The frames are the cluster's test frames; energies of the fragments are computed at both levels. Prints mean
and largest absolute errors of the model and of the cheap level, in kcal/mol.
"""

import argparse
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from ase import Atoms

from asteroid.api import label, load_model, open_store
from asteroid.chemistry.fragments import fragments
from asteroid.configuration import Frame
from asteroid.levels import LevelOfTheory
from asteroid.units import KILOCALORIE_PER_MOLE


def interaction(wholes: Sequence[float], parts: Sequence[float], counts: Sequence[int]) -> npt.NDArray[np.float64]:
    """(frames,) energies of clusters minus those of their fragments, of which each frame has ``counts``."""
    ends = np.cumsum(counts)[:-1]
    sums: npt.NDArray[np.float64] = np.array([part.sum() for part in np.split(np.array(parts), ends)])
    return np.array(wholes) - sums


def compositions(frame: Frame) -> tuple[str, ...]:
    """Formulas of the fragments of a frame."""
    group, atoms = fragments(frame.configuration), Atoms(frame.configuration.numbers)
    return tuple(sorted(atoms[group == i].get_chemical_formula() for i in range(group.max() + 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--cluster", required=True, help="name of a molecule that consists of several fragments")
    parser.add_argument("--level", required=True, help="accurate level of the model")
    parser.add_argument("--cheap", default="gfn2-xtb")
    parser.add_argument("--model", nargs=2, metavar=("NAME", "ID"), help="instead of the newest with a certificate")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    store = open_store(options.store)
    levels = [LevelOfTheory.parse(text) for text in (options.level, options.cheap)]
    accurate, cheap = (
        {i: one.energy for i, one in store.files.labels(options.cluster, level).items() if one.energy is not None}
        for level in levels
    )
    every = [f for f in store.files.frames(options.cluster, split="test") if f.frame_id in accurate]
    # Those that occur most, without frames in which a proton has moved to another fragment.
    usual, _ = Counter(map(compositions, every)).most_common(1)[0]
    known = [frame for frame in every if compositions(frame) == usual]
    whole = [Atoms(f.configuration.numbers, f.configuration.positions) for f in known]
    groups = [fragments(frame.configuration) for frame in known]
    counts = [len(usual)] * len(known)
    parts = [one[group == i] for one, group in zip(whole, groups, strict=True) for i in range(len(usual))]

    def of_labels(labels: dict[str, float], level: str) -> npt.NDArray[np.float64]:
        found = [attempt.energy for attempt in label(parts, level, forces=False, workers=options.workers)]
        return interaction([labels[frame.frame_id] for frame in known], found, counts)

    truth = of_labels(accurate, options.level)
    rough = of_labels(cheap, options.cheap)
    name, model_id = options.model or (options.cluster, None)
    calculator = load_model(store, name, model_id=model_id)

    def predicted(atoms: Atoms) -> float:
        atoms.calc = calculator
        return float(atoms.get_potential_energy())

    model = interaction([predicted(one) for one in whole], [predicted(one) for one in parts], counts)
    lowest, highest = truth.min() / KILOCALORIE_PER_MOLE, truth.max() / KILOCALORIE_PER_MOLE
    print(f"{options.cluster}, {len(known)} of {len(every)} test frames: {lowest:.1f} to {highest:.1f} kcal/mol")
    for which, energies in (("model", model), (options.cheap, rough)):
        errors = np.abs(energies - truth) / KILOCALORIE_PER_MOLE
        print(f"{which}: mean error {errors.mean():.2f} kcal/mol, largest {errors.max():.2f}")


if __name__ == "__main__":
    main()
