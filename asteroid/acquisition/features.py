"""Invariant features of atoms from a MACE model, for the similarity of frames and the uncertainty of forces."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asteroid.configuration import Configuration
from asteroid.training.dataset import batches, to_graph
from asteroid.training.model import model_cutoff, model_elements

Floats = npt.NDArray[np.float64]


def atom_features(
    model: torch.nn.Module, configurations: Sequence[Configuration], *, batch_size: int = 100
) -> list[Floats]:
    """The scalar node features of all layers, (N, D) of each configuration; invariant to rotations."""
    parameter = next(model.parameters())
    numbers, cutoff = model_elements(model), model_cutoff(model)
    found: list[Floats] = []
    for start in range(0, len(configurations), batch_size):
        part = configurations[start : start + batch_size]
        graphs = [to_graph(c, numbers=numbers, r_max=cutoff, dtype=parameter.dtype) for c in part]
        batch = batches(graphs, batch_size)[0].to(parameter.device)
        features = _scalars(model, model(batch.to_dict(), compute_force=False)["node_feats"])
        found += np.split(features, batch.ptr[1:-1].tolist())
    return found


def _scalars(model: torch.nn.Module, features: torch.Tensor) -> Floats:
    """Scalar node features (atoms, layers × channels); MACE concatenates the features of its layers."""
    layers: Any = model.products
    irreps = [product.linear.irreps_out for product in layers]
    parts = torch.split(features, [each.dim for each in irreps], dim=1)
    scalars = [part[:, : each[0].mul] for part, each in zip(parts, irreps, strict=True)]
    return torch.cat(scalars, dim=1).detach().double().cpu().numpy()
