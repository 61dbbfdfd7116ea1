"""What a model does not know: the disagreement of a committee, and the descriptors that say which frames are alike.

Members are the finished model, trained on with bootstraps of its accurate labels: they share its pretraining and cost a
fine-tuning each. :mod:`asteroid.acquisition.calibration` makes errors of their disagreement,
:mod:`asteroid.acquisition.criteria` picks by both. Needs torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asteroid.configuration import Configuration
from asteroid.data.training_set import TrainingSet
from asteroid.manifest import TrainingSettings
from asteroid.store import Store
from asteroid.store.models import Card
from asteroid.training.dataset import batches, to_graph
from asteroid.training.fit import Progress
from asteroid.training.model import model_cutoff, model_elements
from asteroid.training.predict import predict
from asteroid.training.run import train_model

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CommitteePrediction:
    """The mean of a committee, and how far its members are apart.

    Args:
        energies: (M,) eV.
        forces: (N, 3) eV/Å of each frame.
        uncertainty: (M,) eV/Å, see :func:`force_disagreement`.
    """

    energies: Floats
    forces: Sequence[Floats]
    uncertainty: Floats


def train_committee(
    store: Store, card: Card, data: TrainingSet, *, members: int, on_progress: Progress | None = None
) -> list[str]:
    """Ids of models that go on from a finished one, each with its own bootstrap of the accurate labels.

    Ordinary models in the store: those that are there are not trained again, and one that was interrupted goes on.

    Args:
        card: of the finished model; its settings train the members, with seeds that count up from its own.
        data: what the model was trained on.
        members: how many; at least 2, as one disagrees with nobody.

    Raises:
        TrainingError: when its labels are gone.
    """
    settings = TrainingSettings.model_validate(card.settings)
    cards = [
        train_model(
            store,
            card.molecule,
            data,
            strategy="member",
            settings=settings.model_copy(update={"seed": settings.seed + index}),
            start=card.model_id,
            on_progress=on_progress,
        )
        for index in range(members)
    ]
    return [member.model_id for member in cards]


def committee_predict(
    models: Sequence[torch.nn.Module], configurations: Sequence[Configuration]
) -> CommitteePrediction:
    """Energies and forces of all members on all configurations, as their mean and their disagreement."""
    found = [predict(model, configurations) for model in models]
    forces = [np.stack(each) for each in zip(*(forces for _, forces in found), strict=True)]
    return CommitteePrediction(
        np.mean([energies for energies, _ in found], axis=0),
        [each.mean(axis=0) for each in forces],
        np.array([force_disagreement(each) for each in forces]),
    )


def force_disagreement(forces: Floats) -> float:
    """Uncertainty of a frame, eV/Å: root mean square deviation of the members' forces from their mean, on one atom.

    Args:
        forces: (members, N, 3) eV/Å.
    """
    squared = np.square(forces - forces.mean(axis=0)).sum(axis=2).mean(axis=0)
    return float(np.sqrt(squared.mean()))


def descriptors(model: torch.nn.Module, configurations: Sequence[Configuration], *, batch_size: int = 100) -> Floats:
    """What a model sees in each configuration: (M, D), of one composition.

    MACE's invariant node features of all layers, averaged over the atoms of each element: equal atoms may be exchanged
    and the molecule turned.
    """
    parameter = next(model.parameters())
    numbers, cutoff = model_elements(model), model_cutoff(model)
    rows = []
    for start in range(0, len(configurations), batch_size):
        part = configurations[start : start + batch_size]
        graphs = [to_graph(c, numbers=numbers, r_max=cutoff, dtype=parameter.dtype) for c in part]
        batch = batches(graphs, batch_size)[0].to(parameter.device)
        features = _invariant(model, model(batch.to_dict(), compute_force=False)["node_feats"])
        for configuration, atoms in zip(part, np.split(features, batch.ptr[1:-1].tolist()), strict=True):
            elements = sorted(set(configuration.numbers.tolist()))
            rows.append(np.concatenate([atoms[configuration.numbers == z].mean(axis=0) for z in elements]))
    return np.array(rows)


def _invariant(model: torch.nn.Module, features: torch.Tensor) -> Floats:
    """(atoms, layers × channels): the scalars among the node features, which MACE lists layer by layer."""
    layers: Any = model.products
    irreps = [product.linear.irreps_out for product in layers]
    parts = torch.split(features, [each.dim for each in irreps], dim=1)
    scalars = [part[:, : each[0].mul] for part, each in zip(parts, irreps, strict=True)]
    return torch.cat(scalars, dim=1).detach().double().cpu().numpy()
