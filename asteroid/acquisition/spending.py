"""Whether accurate labels with forces or energies alone gain more per core-second, measured on the labels at hand.

The correction of :mod:`asteroid.training.strategies.corrected` is fitted in seconds, so it can be asked. It learns from
a half of the labels with their forces, from the same half and the energies of the others, and from all with their
forces; what each takes off the error of the held-out frames, by what it costs, is the answer. The costs come from
:mod:`asteroid.stages.buying`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from asteroid.store.round_records import Option, Purchase

if TYPE_CHECKING:
    from asteroid.training.dataset import LabelledFrame

Kind = Literal["forces", "energies"]

HALVES = 6
"""Random halves over which the gains are averaged."""

FEWEST = 8
"""Labels with forces below which a half of them says too little."""


def compare_labels(
    differences: "Sequence[LabelledFrame]",
    held_out: "Sequence[LabelledFrame]",
    *,
    seconds_with_forces: float,
    seconds_energy: float,
    seed: int,
) -> Purchase:
    """Which kind of label takes more off the held-out force error for the same core-seconds. Needs torch.

    Args:
        differences: accurate − cheap of the frames that train, with forces.
        held_out: of those that judge, with forces.
        seconds_with_forces, seconds_energy: core-seconds of a label of each kind.
        seed: of the halves.
    """
    from asteroid.training.kernel import KernelModel
    from asteroid.training.symmetry import equivalent_permutations

    if len(differences) < FEWEST or len(held_out) < 2:
        return Purchase("forces", f"too few labels to tell what energies alone would gain: {len(differences)}")
    permutations = equivalent_permutations([frame.configuration for frame in differences])
    known = [frame.forces for frame in held_out if frame.forces is not None]
    everything = KernelModel(differences, permutations)

    def error(frames: "Sequence[LabelledFrame]") -> float:
        model = KernelModel(frames, permutations, everything.hyperparameters)
        forces = model.predict([frame.configuration for frame in held_out])[1]
        return float(np.mean([np.abs(found - true).mean() for found, true in zip(forces, known, strict=True)]))

    rng = np.random.default_rng(seed)
    with_all, further = error(differences), len(differences) - len(differences) // 2
    # Logarithms, so that a poor half does not speak for all.
    with_forces, of_energies = [], []
    for _ in range(HALVES):
        order = rng.permutation(len(differences)).tolist()
        half, others = ([differences[i] for i in part] for part in (order[further:], order[:further]))
        before = error(half)
        with_forces.append(np.log(before / with_all))
        of_energies.append(np.log(before / error([*half, *(replace(frame, forces=None) for frame in others)])))
    options = (
        _option("forces", float(np.mean(with_forces)), seconds_with_forces, further),
        _option("energies", float(np.mean(of_energies)), seconds_energy, further),
    )
    best = max(options, key=lambda option: option.gain_per_core_hour)
    one, other = (f"{option.gain_per_core_hour:.3g}" for option in options)
    reason = (
        f"measured on {len(differences)} labels, relative gain per core-hour: {one} with forces, {other} of energies"
    )
    return Purchase(best.kind, reason, options)


def _option(kind: Kind, fall: float, seconds: float, labels: int) -> Option:
    """An option by the fall of the error's logarithm that so many of its labels have brought."""
    return Option(kind, seconds, 1 - math.exp(-fall), 3600 * fall / labels / max(seconds, 1e-9))
