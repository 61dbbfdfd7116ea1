"""Errors of a trained model on the test frames, for a Δ-model with the labels of the level that it corrects.

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
from asteroid.training.strategies.weighted import mean_forces as committee_forces

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TestErrors:
    """Test errors of one model; the fields are those of :class:`~asteroid.comparison.result.Result`."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    force_mae: float | None
    force_rmse: float | None
    energy_mae: float
    energy_rmse: float
    force_groups: tuple[tuple[float, int], ...]
    energy_groups: tuple[tuple[float, int], ...]


def predict_variant(
    store: Store, card: Card, frames: Sequence[Frame], *, device: str = "auto"
) -> tuple[Floats, list[Floats | None]]:
    """Total energies (M,) in eV and forces (N, 3) in eV/Å of each frame, predicted by a model.

    For a Δ-model, the stored labels of the level that it corrects are added. Forces are None for frames whose stored
    label has none.

    Raises:
        KeyError: for a frame without a label at the level that the model corrects.
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
    """Mean forces of a committee of models, (N, 3) eV/Å by frame id."""
    chosen = choose_device(device)
    models: list[torch.nn.Module] = [load_model(store, molecule, model_id).to(chosen) for model_id in model_ids]
    means = committee_forces(models, [frame.configuration for frame in frames])
    return {frame.frame_id: mean for frame, mean in zip(frames, means, strict=True)}


def measure(store: Store, card: Card, frames: Sequence[Frame], *, device: str = "auto") -> TestErrors:
    """Errors against the accurate labels of these frames; a constant shift of energies is an error as well."""
    labels = store.labels(card.molecule, LevelOfTheory.parse(card.accurate, imported=True))
    energies, forces = predict_variant(store, card, frames, device=device)
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
    """Mean absolute and root-mean-square error over all components."""
    every = np.concatenate(list(differences.values()))
    return float(np.abs(every).mean()), float(np.sqrt(np.square(every).mean()))


def _by_group(differences: Mapping[str, Floats], groups: Mapping[str, str]) -> tuple[tuple[float, int], ...]:
    """Sum of absolute differences and number of components of each group, in the order of group names."""
    sums: dict[str, tuple[float, int]] = {}
    for frame_id, each in differences.items():
        total, count = sums.get(groups[frame_id], (0.0, 0))
        sums[groups[frame_id]] = (total + float(np.abs(each).sum()), count + each.size)
    return tuple(sums[name] for name in sorted(sums))
