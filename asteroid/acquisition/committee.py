"""Uncertainty of a model from the disagreement of a committee, and descriptors of the similarity of frames.

Members are the trained model, fine-tuned on bootstrap samples of its accurate labels: they share its pretraining and
cost one fine-tuning each. :mod:`asteroid.acquisition.calibration` converts the disagreement into error bounds,
:mod:`asteroid.acquisition.criteria` picks frames by disagreement and descriptors. Needs torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from asteroid.configuration import Configuration
from asteroid.data.training_set import TrainingSet
from asteroid.manifest import TrainingSettings
from asteroid.store import Store
from asteroid.store.models import Card
from asteroid.training.fit import Progress
from asteroid.training.predict import node_features, predict
from asteroid.training.run import train_model

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CommitteePrediction:
    """Mean and disagreement of a committee.

    Args:
        forces: (N, 3) eV/Å of each frame.
        uncertainty: (M,) eV/Å, see :func:`force_disagreement`.
    """

    forces: Sequence[Floats]
    uncertainty: Floats


def train_committee(
    store: Store, card: Card, data: TrainingSet, *, members: int, on_progress: Progress | None = None
) -> list[str]:
    """Train the members of a committee and return their model ids.

    Members are ordinary models in the store: existing ones are not trained again, interrupted ones are resumed.

    Args:
        card: of the trained model; members use its settings, with seeds counted up from its seed.
        data: training set of the model.
        members: number of members, at least 2.

    Raises:
        TrainingError: when labels are missing.
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
    """Mean forces of a committee, and its disagreement."""
    found = [predict(model, configurations)[1] for model in models]
    forces = [np.stack(each) for each in zip(*found, strict=True)]
    return CommitteePrediction(
        [each.mean(axis=0) for each in forces],
        np.array([force_disagreement(each) for each in forces]),
    )


def force_disagreement(forces: Floats) -> float:
    """Uncertainty of a frame, eV/Å: root-mean-square deviation of the members' forces from their mean, per atom.

    Args:
        forces: (members, N, 3) eV/Å.
    """
    squared = np.square(forces - forces.mean(axis=0)).sum(axis=2).mean(axis=0)
    return float(np.sqrt(squared.mean()))


def descriptors(model: torch.nn.Module, configurations: Sequence[Configuration]) -> Floats:
    """Descriptors (M, D) of configurations of one composition.

    MACE's invariant node features of all layers, averaged over the atoms of each element, hence invariant to rotations
    and to permutations of equal atoms.
    """
    rows = []
    for configuration, (atoms, _) in zip(configurations, node_features(model, configurations), strict=True):
        elements = sorted(set(configuration.numbers.tolist()))
        rows.append(np.concatenate([atoms[configuration.numbers == z].mean(axis=0) for z in elements]))
    return np.array(rows)
