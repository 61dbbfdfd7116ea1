"""Chains of levels compared with a single correction, for the same cost of labels.

    python -m benchmarks.multilevel STORE --molecule ethanol --accurate 'ccsd(t)/6-31g*' --between 'mp2/6-31g*' \
        --budgets 20 30 50

The store has accurate labels of training and test frames, and labels at the intermediate level, from ``asteroid run``
with ``training: {ladder: …}``. For each budget (a number of accurate labels without held-out ones, or their cost), it
prints the force error of corrected labels on the test frames, in meV/Å, for the single correction, for the chain chosen
by a pilot with twelve frames, and for the best chain of a grid. Kernels only, without a network and a final model.
Predictions are stored in ``STORE/benchmarks``; an interrupted run continues.
"""

import argparse
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from asteroid.acquisition.stopping import LearningCurve
from asteroid.chains.choice import best_counts
from asteroid.chains.curves import fit_errors, residual_errors
from asteroid.levels import LevelOfTheory
from asteroid.naming import digest
from asteroid.stages.pilot import FRAMES
from asteroid.store import Store
from asteroid.store.rows import core_seconds
from asteroid.training.dataset import LabelledFrame, labelled_frames
from asteroid.training.kernel import KernelModel
from asteroid.training.strategies.delta import differences
from asteroid.training.symmetry import equivalent_permutations

GRID = (12, 16, 20, 25, 30, 40, 60, 90, 120, 160, 200, 240)
"""Numbers of labels of the grid."""


class Data:
    """Labels of one molecule at three levels, in the order of selection."""

    def __init__(self, store: Store, molecule: str, levels: Sequence[LevelOfTheory]) -> None:
        self.store, self.molecule, self.levels = store, molecule, levels
        split = {frame.frame_id: frame.split for frame in store.frames(molecule)}
        ids = [i for level in reversed(levels[1:]) for i in store.selected(molecule, level) if split[i] == "train"]
        self.order = list(dict.fromkeys(ids))
        self.test = [i for i in store.labels(molecule, levels[-1]) if split.get(i) == "test"]
        self.labels = {
            level: {f.frame_id: f for f in labelled_frames(store, molecule, level, [*self.order, *self.test])}
            for level in levels
        }
        self.permutations = equivalent_permutations([f.configuration for f in self.labels[levels[0]].values()])

    def price(self, level: LevelOfTheory) -> float:
        """Core-seconds per label."""
        return float(np.median(core_seconds(self.store.attempts(self.molecule, level))))

    def pairs(self, below: LevelOfTheory, above: LevelOfTheory) -> list[LabelledFrame]:
        """Differences of two levels for all frames with both labels."""
        known = [self.labels[above][i] for i in self.order if i in self.labels[above]]
        return differences(known, self.labels[below])

    def correction(self, below: LevelOfTheory, above: LevelOfTheory, labels: int) -> np.ndarray[Any, Any]:
        """Correction of the forces of the test frames, learnt from this number of labels, (test frames, N, 3) eV/Å."""
        name = digest([self.molecule, str(below), str(above), labels, len(self.test)])
        path = f"benchmarks/multilevel-{name}.json"
        if not self.store.exists(path):
            kernel = KernelModel(self.pairs(below, above)[:labels], self.permutations)
            asked = [self.labels[self.levels[0]][i].configuration for i in self.test]
            forces = [force.tolist() for force in kernel.predict(asked)[1]]
            self.store.write_json(path, {"forces": forces})
        return np.array(self.store.read_json(path)["forces"])

    def error(self, steps: Sequence[tuple[LevelOfTheory, LevelOfTheory, int]]) -> float:
        """Force MAE of corrected labels of the test frames, eV/Å."""
        forces = np.array([self.labels[self.levels[0]][i].forces for i in self.test])
        for below, above, labels in steps:
            forces = forces + self.correction(below, above, labels)
        accurate = np.array([self.labels[self.levels[-1]][i].forces for i in self.test])
        return float(np.abs(forces - accurate).mean())


def compare(data: Data, budget: int) -> dict[str, Any]:
    """Errors for the cost of this number of accurate labels."""
    cheap, between, accurate = data.levels
    prices = [data.price(between), data.price(accurate)]
    core_seconds_allowed = budget * prices[1]
    steps = ((cheap, between), (between, accurate))
    laws: list[LearningCurve] = [fit_errors(residual_errors(data.pairs(*s)[:FRAMES], data.permutations)) for s in steps]
    most = [len(data.pairs(*step)) for step in steps]
    auto = best_counts(laws, prices, core_seconds_allowed, least=[FRAMES, FRAMES], most=[most[0], min(budget, most[1])])
    grid = [
        (lower, upper)
        for lower, upper in itertools.product(GRID, GRID)
        if upper <= min(lower, most[1], budget)
        and lower <= most[0]
        and lower * prices[0] + upper * prices[1] <= core_seconds_allowed
    ]

    def chain(counts: tuple[int, ...]) -> float:
        return data.error([(*step, count) for step, count in zip(steps, counts, strict=True)])

    best = min(grid, key=chain, default=None)
    return {
        "core_hours": core_seconds_allowed / 3600,
        "single": data.error([(cheap, accurate, budget)]) if budget <= most[1] else None,
        "auto": auto and (auto, chain(auto)),
        "best": best and (best, chain(best)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--molecule", required=True)
    parser.add_argument("--cheap", default="gfn2-xtb")
    parser.add_argument("--between", required=True)
    parser.add_argument("--accurate", required=True)
    parser.add_argument("--budgets", type=int, nargs="+", default=[20, 30, 50])
    arguments = parser.parse_args()
    levels = [LevelOfTheory.parse(text) for text in (arguments.cheap, arguments.between, arguments.accurate)]
    data = Data(Store(arguments.store), arguments.molecule, levels)
    print(f"{data.molecule}, {len(data.test)} test frames, force MAE in meV/Å: {levels[0]} {1000 * data.error([]):.0f}")
    print("| accurate labels | core-hours | single step | chain of the pilot | best chain tried |")
    print("|---|---|---|---|---|")
    for budget in arguments.budgets:
        found = compare(data, budget)
        single = "–" if found["single"] is None else f"{1000 * found['single']:.1f}"
        chains = [f"{1000 * c[1]:.1f} ({c[0][0]} + {c[0][1]})" if c else "–" for c in (found["auto"], found["best"])]
        print(f"| {budget} | {found['core_hours']:.3f} | {single} | {' | '.join(chains)} |", flush=True)


if __name__ == "__main__":
    main()
