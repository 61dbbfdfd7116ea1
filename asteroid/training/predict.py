"""Energies and forces of many configurations at once from one MACE model."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from mace.calculators import MACECalculator

from asteroid.configuration import Configuration
from asteroid.training.dataset import batches, to_graph
from asteroid.training.model import model_cutoff, model_elements


def predict(
    model: torch.nn.Module | MACECalculator, configurations: Sequence[Configuration], *, batch_size: int = 100
) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]]]:
    """Total energies (number of configurations,) in eV and forces, (N, 3) eV/Å each, in the model's own precision."""
    module: torch.nn.Module = model.models[0] if isinstance(model, MACECalculator) else model
    parameter = next(module.parameters())
    numbers, cutoff = model_elements(module), model_cutoff(module)
    energies: list[float] = []
    forces: list[npt.NDArray[np.float64]] = []
    for start in range(0, len(configurations), batch_size):
        part = configurations[start : start + batch_size]
        graphs = [to_graph(c, numbers=numbers, r_max=cutoff, dtype=parameter.dtype) for c in part]
        batch = batches(graphs, batch_size)[0].to(parameter.device)
        output = module(batch.to_dict(), training=False)
        energies += output["energy"].detach().double().cpu().tolist()
        ends = batch.ptr[1:-1].tolist()
        forces += np.split(output["forces"].detach().double().cpu().numpy(), ends)
    return np.array(energies), forces
