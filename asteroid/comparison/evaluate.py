"""Errors of a finished model on the frames that judge a comparison, whatever it needs beside itself.

Needs torch, and runs in the process of :mod:`asteroid.comparison.cell`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from asteroid.configuration import Frame
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.models import Card
from asteroid.training.model import choose_device
from asteroid.training.predict import predict
from asteroid.training.run import load_model

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TestErrors:
    """Of one model; the fields are those of :class:`~asteroid.comparison.result.Result`."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    force_mae: float | None
    force_rmse: float | None
    energy_mae: float
    energy_rmse: float
    force_groups: tuple[tuple[float, int], ...]
    energy_groups: tuple[tuple[float, int], ...]


def predict_arm(
    store: Store, card: Card, frames: Sequence[Frame], *, device: str = "auto"
) -> tuple[Floats, list[Floats | None]]:
    """Total energies (M,) eV and forces, (N, 3) eV/Å each, of a model and the level that it adds to.

    The labels of that level are read from the store, where they stand for computing them again; without forces there,
    there are none here.

    Raises:
        KeyError: for a frame without a label at the level that the model adds to.
    """
    molecule = card.molecule
    model = load_model(store, molecule, card.model_id).to(choose_device(device))
    energies, forces = predict(model, [frame.configuration for frame in frames])
    if card.adds_to is None:
        return energies, list(forces)
    labels = store.labels(molecule, LevelOfTheory.parse(card.adds_to, imported=True))
    below = [labels[frame.frame_id] for frame in frames]
    added = [None if label.forces is None else f + label.forces for f, label in zip(forces, below, strict=True)]
    return energies + np.array([label.energy for label in below], dtype=float), added


def mean_forces(
    store: Store, molecule: str, model_ids: Sequence[str], frames: Sequence[Frame], *, device: str = "auto"
) -> dict[str, Floats]:
    """(N, 3) eV/Å by frame id: the mean over several models that stand alone, as a committee of teachers predicts."""
    chosen = choose_device(device)
    models: list[torch.nn.Module] = [load_model(store, molecule, model_id).to(chosen) for model_id in model_ids]
    predicted = [predict(model, [frame.configuration for frame in frames])[1] for model in models]
    means = (np.mean(each, axis=0) for each in zip(*predicted, strict=True))
    return {frame.frame_id: mean for frame, mean in zip(frames, means, strict=True)}


def measure(store: Store, card: Card, frames: Sequence[Frame], *, device: str = "auto") -> TestErrors:
    """Errors against the accurate labels of these frames; a constant shift of energies is an error as well."""
    labels = store.labels(card.molecule, LevelOfTheory.parse(card.accurate, imported=True))
    energies, forces = predict_arm(store, card, frames, device=device)
    reference = np.array([labels[frame.frame_id].energy for frame in frames], dtype=float)
    energy = {frame.frame_id: energies[i : i + 1] - reference[i] for i, frame in enumerate(frames)}
    force = {}
    for frame, predicted in zip(frames, forces, strict=True):
        accurate = labels[frame.frame_id].forces
        if accurate is not None and predicted is not None:
            force[frame.frame_id] = (predicted - accurate).ravel()
    groups = {frame.frame_id: frame.group for frame in frames}
    energy_mae, energy_rmse = _errors(energy)
    force_mae, force_rmse = _errors(force) if force else (None, None)
    return TestErrors(
        force_mae, force_rmse, energy_mae, energy_rmse, _by_group(force, groups), _by_group(energy, groups)
    )


def _errors(differences: Mapping[str, Floats]) -> tuple[float, float]:
    """Mean absolute and root mean square, over all components."""
    every = np.concatenate(list(differences.values()))
    return float(np.abs(every).mean()), float(np.sqrt(np.square(every).mean()))


def _by_group(differences: Mapping[str, Floats], groups: Mapping[str, str]) -> tuple[tuple[float, int], ...]:
    """Sums of absolute differences and their number, group after group by name."""
    sums: dict[str, tuple[float, int]] = {}
    for frame_id, each in differences.items():
        total, count = sums.get(groups[frame_id], (0.0, 0))
        sums[groups[frame_id]] = (total + float(np.abs(each).sum()), count + each.size)
    return tuple(sums[name] for name in sorted(sums))
