"""Correction of cheap labels by a blend of a kernel and a small network that learns the same differences.

For three to five atoms the kernel is almost exact. For larger molecules the network makes different errors, and a mean
of both is better than either: for acetylacetone, GFN2 to PBE, 40 pairs, the force error is 11.5 meV/Å with the kernel,
13.8 with a network, and 10.7 with a quarter of the network. Used by :mod:`asteroid.training.strategies.corrected`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from asteroid.configuration import Configuration
from asteroid.training.dataset import LabelledFrame
from asteroid.training.kernel import KernelModel
from asteroid.training.predict import Prediction, predict
from asteroid.training.session import Session
from asteroid.training.steps import correcting

NEARLY_EXACT = 0.01
"""A kernel with a residual error below this fraction of the difference is not blended: no network is as good with few
frames."""

PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Candidate fractions of the network."""


class Correction(Protocol):
    """Predicts the difference of two levels."""

    def predict(self, configurations: Sequence[Configuration]) -> Prediction: ...

    def fade(
        self, configurations: Sequence[Configuration], prediction: Prediction
    ) -> tuple[Prediction, npt.NDArray[np.float64]]:
        """See :meth:`asteroid.training.kernel.KernelModel.fade`."""
        ...


@dataclass(frozen=True)
class Blend:
    """A weighted mean of the corrections of a network (``part``) and a kernel (1 − ``part``)."""

    kernel: KernelModel
    network: torch.nn.Module
    part: float

    def predict(self, configurations: Sequence[Configuration]) -> Prediction:
        """Energies (number of configurations,) in eV and forces, (N, 3) eV/Å each."""
        return _mix(self.kernel.predict(configurations), predict(self.network, configurations), self.part)

    def fade(
        self, configurations: Sequence[Configuration], prediction: Prediction
    ) -> tuple[Prediction, npt.NDArray[np.float64]]:
        """By the variance of the kernel, which says where there are no pairs nearby."""
        return self.kernel.fade(configurations, prediction)


@dataclass(frozen=True)
class Network:
    """The correction of a network alone, for a molecule with too few pairs for a kernel."""

    module: torch.nn.Module

    def predict(self, configurations: Sequence[Configuration]) -> Prediction:
        """As :meth:`Blend.predict`."""
        return predict(self.module, configurations)

    def fade(
        self, configurations: Sequence[Configuration], prediction: Prediction
    ) -> tuple[Prediction, npt.NDArray[np.float64]]:
        """Nothing fades: a network has no variance."""
        return prediction, np.zeros(len(configurations))


def wants_network(kernel: KernelModel | None, pairs: Sequence[LabelledFrame]) -> bool:
    """Whether a network may help: all pairs have forces, and the kernel is missing or not :data:`NEARLY_EXACT`."""
    forces = [pair.forces for pair in pairs if pair.forces is not None]
    if not forces or len(forces) < len(pairs):
        return False
    return kernel is None or kernel.left_out_error > NEARLY_EXACT * float(np.abs(np.concatenate(forces)).mean())


def train_network(
    session: Session, pairs: Sequence[LabelledFrame], held_out: Sequence[LabelledFrame]
) -> torch.nn.Module:
    """Train a network on the differences of two levels, for all molecules together.

    Args:
        pairs, held_out: differences of two levels, all with forces.
    """
    settings = session.settings
    model = session.random_model(pairs)
    session.fit(
        correcting(settings),
        model,
        pairs,
        learning_rate=settings.learning_rate / 2,  # for batches a quarter as large
        held_out=held_out,
    )
    network: torch.nn.Module = session.with_references(model, pairs)
    return network


def blend(kernel: KernelModel, network: torch.nn.Module, held_out: Sequence[LabelledFrame]) -> Blend:
    """The blend of kernel and network with the smallest held-out error of a molecule."""
    configurations = [frame.configuration for frame in held_out]
    predicted = kernel.predict(configurations), predict(network, configurations)
    errors = {part: _error(_mix(*predicted, part), held_out) for part in PARTS}
    return Blend(kernel, network, min(errors, key=errors.__getitem__))


def _mix(kernel: Prediction, network: Prediction, part: float) -> Prediction:
    energies = (1 - part) * kernel[0] + part * network[0]
    return energies, [(1 - part) * k + part * n for k, n in zip(kernel[1], network[1], strict=True)]


def _error(predicted: Prediction, truth: Sequence[LabelledFrame]) -> float:
    """Mean absolute error of forces, eV/Å."""
    pairs = zip(predicted[1], truth, strict=True)
    return float(np.mean([np.abs(found - frame.forces).mean() for found, frame in pairs if frame.forces is not None]))
