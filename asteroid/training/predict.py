"""Predict energies and forces of many configurations with one MACE model."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from mace.calculators import MACECalculator

from asteroid.configuration import Configuration
from asteroid.training.dataset import batches, by_composition, to_graph
from asteroid.training.lean import LeanMACE, Unsupported
from asteroid.training.model import model_cutoff, model_elements
from asteroid.training.stacked import Stacked

Prediction = tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]]]

BATCH = 100
"""Frames in one forward pass."""


def predict(model: torch.nn.Module | MACECalculator, configurations: Sequence[Configuration]) -> Prediction:
    """Total energies (number of configurations,) in eV and forces, (N, 3) eV/Å each, in the model's own precision.

    Thousands of frames per second for small molecules; several times slower for other architectures than that of MACE's
    training script.
    """
    module: torch.nn.Module = model.models[0] if isinstance(model, MACECalculator) else model
    energies = np.empty(len(configurations))
    forces: list[npt.NDArray[np.float64]] = [np.empty(0)] * len(configurations)
    for places in by_composition(sorted(configuration.numbers.tolist()) for configuration in configurations):
        alike = [configurations[place] for place in places]
        try:
            found, of_each = _predict_alike(module, alike)
        except Unsupported:
            found, of_each = _predict_any(module, alike)
        energies[places] = found
        for place, force in zip(places, of_each, strict=True):
            forces[place] = force
    return energies, forces


def _predict_alike(module: torch.nn.Module, configurations: Sequence[Configuration]) -> Prediction:
    """Configurations of one composition."""
    like = next(module.parameters())
    place = {number: index for index, number in enumerate(model_elements(module))}
    species = np.array([[place[z] for z in configuration.numbers.tolist()] for configuration in configurations])
    lean = LeanMACE(module, np.sort(species[0]).tolist())
    parameters = dict(module.named_parameters())
    energies = np.empty(len(configurations))
    forces = np.empty((*species.shape, 3))
    for start in range(0, len(configurations), BATCH):
        part = slice(start, start + BATCH)
        positions = torch.from_numpy(np.array([c.positions for c in configurations[part]])).to(like)
        frames = Stacked(species[part], {"positions": positions}, model_cutoff(module))
        output = lean(parameters, frames.batch(np.arange(len(frames))), training=False)
        energies[part] = output["energy"].double().cpu().numpy()
        ordered = output["forces"].double().cpu().numpy().reshape(len(frames), -1, 3)
        np.put_along_axis(forces[part], frames.order[..., None], ordered, axis=1)
    return energies, list(forces)


def _predict_any(module: torch.nn.Module, configurations: Sequence[Configuration]) -> Prediction:
    parameter = next(module.parameters())
    numbers, cutoff = model_elements(module), model_cutoff(module)
    energies: list[float] = []
    forces: list[npt.NDArray[np.float64]] = []
    for start in range(0, len(configurations), BATCH):
        part = configurations[start : start + BATCH]
        graphs = [to_graph(c, numbers=numbers, r_max=cutoff, dtype=parameter.dtype) for c in part]
        batch = batches(graphs, BATCH)[0].to(parameter.device)
        output = module(batch.to_dict(), training=False)
        energies += output["energy"].detach().double().cpu().tolist()
        ends = batch.ptr[1:-1].tolist()
        forces += np.split(output["forces"].detach().double().cpu().numpy(), ends)
    return np.array(energies), forces
