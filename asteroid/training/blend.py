"""A correction of cheap labels by two minds: a kernel, and a small network that learns the same differences.

On molecules of three to five atoms the kernel is all but exact. On larger ones a network of the same few pairs errs
elsewhere, and a mean of the two is better than either: on acetylacetone, GFN2 to PBE, 40 pairs, the kernel leaves
11.5 meV/Å, a network 13.8, a quarter of the network with three of the kernel 10.7. Used by
:mod:`asteroid.training.strategies.corrected`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from asteroid.configuration import Configuration
from asteroid.training.dataset import LabelledFrame
from asteroid.training.kernel import KernelModel
from asteroid.training.predict import Prediction, predict
from asteroid.training.session import Session
from asteroid.training.steps import correcting

NEARLY_EXACT = 0.01
"""A kernel that leaves no more than this part of the difference is left alone: no network does that from few frames."""

PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Candidate parts of the network."""


class Correction(Protocol):
    """What moves labels from one level to the next."""

    def predict(self, configurations: Sequence[Configuration]) -> Prediction: ...


@dataclass(frozen=True)
class Blend:
    """``part`` of a network's correction and the rest of a kernel's."""

    kernel: KernelModel
    network: torch.nn.Module
    part: float

    def predict(self, configurations: Sequence[Configuration]) -> Prediction:
        """Energies (number of configurations,) in eV and forces, (N, 3) eV/Å each."""
        return _mix(self.kernel.predict(configurations), predict(self.network, configurations), self.part)


def wants_network(kernel: KernelModel, pairs: Sequence[LabelledFrame]) -> bool:
    """Whether a network may help: where each pair has forces, and the kernel leaves more than next to nothing."""
    forces = [pair.forces for pair in pairs if pair.forces is not None]
    if len(forces) < len(pairs):
        return False
    return kernel.left_out_error > NEARLY_EXACT * float(np.abs(np.concatenate(forces)).mean())


def blend(
    session: Session, kernel: KernelModel, pairs: Sequence[LabelledFrame], held_out: Sequence[LabelledFrame]
) -> Blend:
    """Train the network and choose its part, both by the held-out differences.

    Args:
        pairs, held_out: differences of two levels, all with forces.
    """
    settings = session.settings
    model = session.random_model(pairs)
    session.fit(
        correcting(settings),
        model,
        pairs,
        learning_rate=settings.learning_rate / 2,  # of batches a quarter as large
        held_out=held_out,
    )
    network = session.with_references(model, pairs)
    configurations = [frame.configuration for frame in held_out]
    opinions = kernel.predict(configurations), predict(network, configurations)
    errors = {part: _error(_mix(*opinions, part), held_out) for part in PARTS}
    return Blend(kernel, network, min(errors, key=errors.__getitem__))


def _mix(kernel: Prediction, network: Prediction, part: float) -> Prediction:
    energies = (1 - part) * kernel[0] + part * network[0]
    return energies, [(1 - part) * k + part * n for k, n in zip(kernel[1], network[1], strict=True)]


def _error(predicted: Prediction, truth: Sequence[LabelledFrame]) -> float:
    """Mean absolute error of forces, eV/Å."""
    pairs = zip(predicted[1], truth, strict=True)
    return float(np.mean([np.abs(found - frame.forces).mean() for found, frame in pairs if frame.forces is not None]))
