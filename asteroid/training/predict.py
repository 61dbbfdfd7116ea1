"""Predict energies and forces of many configurations with one MACE model, and its node features."""

from collections.abc import Sequence
from typing import Any, Final, cast

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

SCALAR: Final = "0e"
VECTOR: Final = "1o"
"""Irreps of node features: scalars keep their sign on inversion, vectors change it."""


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
    lean, species = _lean(module, configurations)
    parameters = dict(module.named_parameters())
    energies = np.empty(len(configurations))
    forces = np.empty((*species.shape, 3))
    for start in range(0, len(configurations), BATCH):
        part = slice(start, start + BATCH)
        frames = _stacked(module, species[part], configurations[part])
        output = lean(parameters, frames.batch(np.arange(len(frames))), training=False)
        energies[part] = output["energy"].double().cpu().numpy()
        ordered = output["forces"].double().cpu().numpy().reshape(len(frames), -1, 3)
        np.put_along_axis(forces[part], frames.order[..., None], ordered, axis=1)
    return energies, list(forces)


def _lean(module: torch.nn.Module, configurations: Sequence[Configuration]) -> tuple[LeanMACE, npt.NDArray[np.int64]]:
    """The model for configurations of one composition, and (M, N) which of its elements each atom is."""
    place = {number: index for index, number in enumerate(model_elements(module))}
    species = np.array([[place[z] for z in configuration.numbers.tolist()] for configuration in configurations])
    return LeanMACE(module, np.sort(species[0]).tolist()), species


def _stacked(
    module: torch.nn.Module, species: npt.NDArray[np.int64], configurations: Sequence[Configuration]
) -> Stacked:
    positions = torch.from_numpy(np.array([c.positions for c in configurations])).to(next(module.parameters()))
    return Stacked(species, {"positions": positions}, model_cutoff(module))


def node_features(
    module: torch.nn.Module, configurations: Sequence[Configuration]
) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Scalar features (N, S) and vector features (N, V, 3) of the atoms of each configuration, of all layers.

    Features of higher degree are left out.
    """
    empty = np.empty((0, 0)), np.empty((0, 0, 3))
    found = [empty] * len(configurations)
    for places in by_composition(sorted(configuration.numbers.tolist()) for configuration in configurations):
        alike = [configurations[place] for place in places]
        try:
            features = _features_alike(module, alike)
        except Unsupported:
            features = _features_any(module, alike)
        for place, one in zip(places, features, strict=True):
            found[place] = _scalars_and_vectors(one, module)
    return found


def irreps(module: torch.nn.Module) -> list[tuple[int, Any]]:
    """Number of channels and irrep of each part of the node features, layer by layer."""
    return [part for product in cast(Any, module).products for part in product.linear.irreps_out]


def _features_alike(module: torch.nn.Module, configurations: Sequence[Configuration]) -> list[npt.NDArray[np.float64]]:
    """Features of configurations of one composition, as of :func:`_features_any`."""
    lean, species = _lean(module, configurations)
    parameters = dict(module.named_parameters())
    found: list[npt.NDArray[np.float64]] = []
    for start in range(0, len(configurations), BATCH):
        part = slice(start, start + BATCH)
        frames = _stacked(module, species[part], configurations[part])
        with torch.no_grad():
            layers = lean.features(parameters, frames.batch(np.arange(len(frames))))
        columns = []
        for layer, product in zip(layers, cast(Any, module).products, strict=True):
            dimensions = [irrep.dim for _, irrep in product.linear.irreps_out]
            columns += [part.transpose(1, 2).flatten(1) for part in torch.split(layer, dimensions, 1)]
        joined = torch.cat(columns, dim=1).double().cpu().numpy()
        ordered = joined.reshape(species.shape[1], len(frames), -1).transpose(1, 0, 2)
        own = np.empty_like(ordered)
        np.put_along_axis(own, frames.order[..., None], ordered, axis=1)
        found += list(own)
    return found


def _features_any(module: torch.nn.Module, configurations: Sequence[Configuration]) -> list[npt.NDArray[np.float64]]:
    """MACE's node features (N, all layers) of each configuration."""
    like, numbers, cutoff = next(module.parameters()), model_elements(module), model_cutoff(module)
    found: list[npt.NDArray[np.float64]] = []
    for start in range(0, len(configurations), BATCH):
        part = configurations[start : start + BATCH]
        graphs = [to_graph(c, numbers=numbers, r_max=cutoff, dtype=like.dtype) for c in part]
        batch = batches(graphs, BATCH)[0].to(like.device)
        with torch.no_grad():
            output = module(batch.to_dict(), training=False, compute_force=False)
        found += np.split(output["node_feats"].double().cpu().numpy(), batch.ptr[1:-1].tolist())
    return found


def _scalars_and_vectors(
    features: npt.NDArray[np.float64], module: torch.nn.Module
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    scalars, vectors, place = [], [np.empty((len(features), 0, 3))], 0
    for count, irrep in irreps(module):
        block = features[:, place : place + count * irrep.dim]
        place += block.shape[1]
        if str(irrep) == SCALAR:
            scalars.append(block)
        elif str(irrep) == VECTOR:
            # Of l = 1, e3nn has the components in the order x, y, z.
            vectors.append(block.reshape(len(features), count, 3))
    return np.concatenate(scalars, axis=1), np.concatenate(vectors, axis=1)


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
