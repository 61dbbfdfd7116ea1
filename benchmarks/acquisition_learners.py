"""Models for :mod:`benchmarks.acquisition`: a network, or the kernel of the strategy ``corrected``.

``mace`` pretrains on the cheap labels of the pool and fine-tunes on the accurate ones, with the committee of the
pipeline. ``kernel`` is a Gaussian process of accurate − cheap, added to the cheap labels, with a committee of bootstrap
samples. It is fitted in seconds and without random noise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from asteroid.acquisition.committee import descriptors, force_disagreement, train_committee
from asteroid.data.training_set import TrainingSet
from asteroid.levels import LevelOfTheory
from asteroid.settings import ModelSettings, TrainingSettings
from asteroid.store import Store
from asteroid.training.dataset import LabelledFrame
from asteroid.training.kernel import KernelModel
from asteroid.training.predict import predict
from asteroid.training.run import load_model, train_model
from asteroid.training.strategies.delta import differences
from asteroid.training.symmetry import equivalent_permutations

Floats = npt.NDArray[np.float64]
Labels = Mapping[str, LabelledFrame]

MEMBERS = 3

PRETRAINING = TrainingSettings(
    model=ModelSettings(channels=16, correlation=2), scratch_steps=1500, finetune_batch_size=20, device="cpu"
)
FINE_TUNING = PRETRAINING.model_copy(
    update={"scratch_steps": 1000, "finetune_steps": 500, "finetune_batch_size": 5, "finetune_learning_rate": 0.005}
)
"""Fine-tuning of the model, and with half as many steps of the committee, which starts from it."""


class Fitted(Protocol):
    """A trained model with a committee."""

    def forces(self, ids: Sequence[str]) -> list[Floats]:
        """Forces at the accurate level, (N, 3) eV/Å for each frame."""
        ...

    def uncertainty(self, ids: Sequence[str]) -> Floats:
        """Disagreement of the committee for each frame, eV/Å."""
        ...

    def descriptors(self, ids: Sequence[str]) -> Floats:
        """Descriptors of each frame for the criteria."""
        ...


@dataclass(frozen=True)
class Oracle:
    """A molecule whose pool has labels at both levels.

    Args:
        pretraining: ids of frames for pretraining on cheap labels.
        held_out: ids of frames for early stopping.
    """

    store: Store
    molecule: str
    levels: tuple[LevelOfTheory, LevelOfTheory]
    cheap: Labels
    accurate: Labels
    pretraining: Sequence[str]
    held_out: Sequence[str]
    seed: int

    def pretrained(self) -> str:
        """Id of the model pretrained on cheap labels."""
        cheap, _ = self.levels
        settings = PRETRAINING.model_copy(update={"seed": self.seed})
        return str(self.train("scratch", cheap, self.pretraining, settings, None).model_id)

    def train(
        self, strategy: Any, level: LevelOfTheory, ids: Sequence[str], settings: TrainingSettings, start: str | None
    ) -> Any:
        """Train a model on labels of one level and return its card."""
        return train_model(
            self.store,
            self.molecule,
            self.training_set(level, ids),
            strategy=strategy,
            settings=settings,
            start=start,
        )

    def training_set(self, level: LevelOfTheory, ids: Sequence[str]) -> TrainingSet:
        """Training set with labels of one level."""
        return TrainingSet.of_molecule(self.molecule, cheap=level, accurate=level, train=ids, valid=self.held_out)

    def describe(self, model: torch.nn.Module, ids: Sequence[str]) -> Floats:
        return descriptors(model, [self.cheap[i].configuration for i in ids])


class FittedMace:
    """The fine-tuned network; its committee is trained on first use."""

    def __init__(self, oracle: Oracle, labelled: Sequence[str]) -> None:
        self._oracle, self._labelled = oracle, labelled
        settings = FINE_TUNING.model_copy(update={"seed": oracle.seed})
        self._card = oracle.train("foundation", oracle.levels[1], labelled, settings, oracle.pretrained())
        self._model = load_model(oracle.store, oracle.molecule, self._card.model_id)
        self._members: list[torch.nn.Module] = []

    def forces(self, ids: Sequence[str]) -> list[Floats]:
        return self._predict(self._model, ids)

    def uncertainty(self, ids: Sequence[str]) -> Floats:
        store, molecule = self._oracle.store, self._oracle.molecule
        if not self._members:
            data = self._oracle.training_set(self._oracle.levels[1], self._labelled)
            found = train_committee(store, self._card, data, members=MEMBERS)
            self._members = [load_model(store, molecule, member) for member in found]
        return _disagreement([self._predict(member, ids) for member in self._members])

    def descriptors(self, ids: Sequence[str]) -> Floats:
        return self._oracle.describe(self._model, ids)

    def _predict(self, model: torch.nn.Module, ids: Sequence[str]) -> list[Floats]:
        return predict(model, [self._oracle.cheap[i].configuration for i in ids])[1]


class FittedKernel:
    """The correction of cheap labels; descriptors are those of the pretrained network."""

    def __init__(self, oracle: Oracle, labelled: Sequence[str]) -> None:
        self._oracle = oracle
        pairs = differences([oracle.accurate[i] for i in labelled], oracle.cheap)
        permutations = equivalent_permutations([oracle.cheap[i].configuration for i in oracle.held_out])
        self._model = KernelModel(pairs, permutations)
        random = np.random.default_rng(oracle.seed)
        draws = [sorted(set(random.integers(len(pairs), size=len(pairs)).tolist())) for _ in range(MEMBERS)]
        shape = self._model.hyperparameters
        self._members = [KernelModel([pairs[i] for i in draw], permutations, shape) for draw in draws]

    def forces(self, ids: Sequence[str]) -> list[Floats]:
        return self._predict(self._model, ids)

    def uncertainty(self, ids: Sequence[str]) -> Floats:
        return _disagreement([self._predict(member, ids) for member in self._members])

    def descriptors(self, ids: Sequence[str]) -> Floats:
        oracle = self._oracle
        return oracle.describe(load_model(oracle.store, oracle.molecule, oracle.pretrained()), ids)

    def _predict(self, model: KernelModel, ids: Sequence[str]) -> list[Floats]:
        cheap = [self._oracle.cheap[i] for i in ids]
        corrections = model.predict([frame.configuration for frame in cheap])[1]
        return [np.asarray(frame.forces) + correction for frame, correction in zip(cheap, corrections, strict=True)]


def _disagreement(members: Sequence[Sequence[Floats]]) -> Floats:
    return np.array([force_disagreement(np.stack(each)) for each in zip(*members, strict=True)])


LEARNERS: Mapping[str, Callable[[Oracle, Sequence[str]], Fitted]] = {"mace": FittedMace, "kernel": FittedKernel}
