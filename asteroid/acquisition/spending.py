"""Whether accurate labels with forces or energies alone lower the error more per core-second.

Measured by fitting the correction of :mod:`asteroid.training.strategies.corrected`, which takes seconds: to half of the
labels with forces; to the same half plus the energies of the others; and to all labels with forces. The held-out errors
and the costs (from :mod:`asteroid.stages.label_kind`) give the gain per core-hour of each kind.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from asteroid.store.round_records import LabelChoice, Option

if TYPE_CHECKING:
    from asteroid.training.dataset import LabelledFrame

Kind = Literal["forces", "energies"]

HALVES = 6
"""Number of random halves to average over."""

FEWEST = 8
"""Smallest number of labels with forces for this measurement."""


def compare_labels(
    differences: "Sequence[LabelledFrame]",
    held_out: "Sequence[LabelledFrame]",
    *,
    seconds_with_forces: float,
    seconds_energy: float,
    seed: int,
) -> LabelChoice:
    """The kind of label that lowers the held-out force error more per core-second. Needs torch.

    Args:
        differences: accurate − cheap of the training frames, with forces.
        held_out: accurate − cheap of the held-out frames, with forces.
        seconds_with_forces, seconds_energy: core-seconds of a label of each kind.
        seed: of the random halves.
    """
    from asteroid.training.kernel import KernelModel
    from asteroid.training.symmetry import equivalent_permutations

    if len(differences) < FEWEST or len(held_out) < 2:
        return LabelChoice("forces", f"too few labels to measure the gain of energies alone: {len(differences)}")
    permutations = equivalent_permutations([frame.configuration for frame in differences])
    known = [frame.forces for frame in held_out if frame.forces is not None]
    everything = KernelModel(differences, permutations)

    def error(frames: "Sequence[LabelledFrame]") -> float:
        model = KernelModel(frames, permutations, everything.hyperparameters)
        forces = model.predict([frame.configuration for frame in held_out])[1]
        return float(np.mean([np.abs(found - true).mean() for found, true in zip(forces, known, strict=True)]))

    rng = np.random.default_rng(seed)
    with_all, further = error(differences), len(differences) - len(differences) // 2
    # Logarithms, so that one poor half does not dominate the mean.
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
    return LabelChoice(best.kind, reason, options)


def _option(kind: Kind, fall: float, seconds: float, labels: int) -> Option:
    """An option from the fall of the logarithm of the error with this number of labels."""
    return Option(kind, seconds, 1 - math.exp(-fall), 3600 * fall / labels / max(seconds, 1e-9))
