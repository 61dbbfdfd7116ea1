"""Input and result of a recipe of :mod:`asteroid.training.strategies`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from asteroid.settings import TrainingSettings

if TYPE_CHECKING:
    import torch

    from asteroid.store.models import CorrectionSummary
    from asteroid.training.bias import Floats, Weighting
    from asteroid.training.dataset import LabelledFrame


@dataclass(frozen=True)
class Problem:
    """Labels and settings for a recipe.

    Args:
        accurate_train, accurate_valid: accurate labels for training, and those held out for early stopping.
        cheap: cheap labels of training configurations.
        teachers: models trained on accurate labels alone, from different random weights, for recipes that need them.
        paired_cheap: cheap labels of the frames in ``accurate_train`` and ``accurate_valid``, by frame id, for recipes
            that learn the difference of the levels. Those of ``accurate_valid`` must not be used for training.
        ladder: labels of training frames at the levels in between, by frame id, the lowest level first.
        configurations: Boltzmann-distributed, with temperature and without labels (energy 0), for score matching.
    """

    accurate_train: Sequence[LabelledFrame]
    accurate_valid: Sequence[LabelledFrame]
    cheap: Sequence[LabelledFrame]
    settings: TrainingSettings
    teachers: Sequence[torch.nn.Module] = ()
    paired_cheap: Mapping[str, LabelledFrame] = field(default_factory=dict)
    ladder: Sequence[Mapping[str, LabelledFrame]] = ()
    configurations: Sequence[LabelledFrame] = ()

    def by_molecule(self) -> dict[str, Problem]:
        """The problem of each molecule, by name."""

        def of(molecule: str, frames: Sequence[LabelledFrame]) -> list[LabelledFrame]:
            return [frame for frame in frames if frame.molecule == molecule]

        def among(molecule: str, frames: Mapping[str, LabelledFrame]) -> dict[str, LabelledFrame]:
            return {i: frame for i, frame in frames.items() if frame.molecule == molecule}

        every = (*self.accurate_train, *self.accurate_valid, *self.cheap)
        return {
            molecule: replace(
                self,
                accurate_train=of(molecule, self.accurate_train),
                accurate_valid=of(molecule, self.accurate_valid),
                cheap=of(molecule, self.cheap),
                paired_cheap=among(molecule, self.paired_cheap),
                ladder=[among(molecule, level) for level in self.ladder],
                configurations=of(molecule, self.configurations),
            )
            for molecule in dict.fromkeys(frame.molecule for frame in every)
        }


@dataclass(frozen=True)
class Trained:
    """Result of a recipe.

    Args:
        model: as the session left it.
        weighting: of its pretraining, frame by frame.
        weighted_ids: the frame ids of the weighting, in its order.
        atom_weights: (N,) for each frame of the weighting, where atoms were weighed; of mean 1 within each frame.
        correction: what a correction of cheap labels was made from and how far off it is.
    """

    model: torch.nn.Module
    weighting: Weighting | None = None
    weighted_ids: Sequence[str] = ()
    atom_weights: Sequence[Floats] | None = None
    correction: CorrectionSummary | None = None
