"""What a model knows: a bound on the force error of each atom at run time, without a committee.

Each atom's uncertainty is its local prediction rigidity in the model's own features, ``u² = φ (Σ φφᵀ + λ)⁻¹ φ``, where
the sum is over the atoms of the same element in the training frames (Chong et al. 2023, doi:10.1021/acs.jctc.3c00704).
The errors on held-out frames turn it into a bound, by split conformal prediction over frames. Far from the training
frames the bound is too small, as nothing there was labelled; what is certain there is that it exceeds the limit.

:class:`KnownRegion` is made from the store (:func:`known_region`) and used by :func:`asteroid.load_model`. Needs torch.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch

from asteroid.acquisition.explore import BEYOND
from asteroid.configuration import Configuration, Frame
from asteroid.errors import InputError
from asteroid.levels import LevelOfTheory
from asteroid.store import Store, paths
from asteroid.store.models import Card
from asteroid.training.predict import node_features, predict

Floats = npt.NDArray[np.float64]

COVERAGE: Final = 0.95
"""Part of frames like the held-out ones in which no atom's error exceeds its bound."""

FEWEST: Final = 5
"""Held-out frames for a bound."""

MOST: Final = 1000
"""Training frames that are used: their features hardly change beyond a few hundred."""

_REGULARISATION: Final = 1e-8
"""λ relative to the mean eigenvalue of Σ φφᵀ; 1e-6 ranks errors as well."""

_OFFSET: Final = 0.1
"""Part of the median uncertainty that is added to every one, so that one certain atom does not set the scale."""


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownRegion:
    """Bounds on the force errors of a model.

    Args:
        inverse: (D, D) by atomic number, of the features of the training atoms.
        scale: eV/Å, of a bound per uncertainty.
        offset: added to each uncertainty.
        largest: (V,) eV/Å, the largest bound in each held-out frame.
        limit: eV/Å; a geometry with a larger bound is unlike the held-out ones.
        guaranteed: part of frames like the held-out ones in which all bounds hold; below :data:`COVERAGE` with fewer
            than 19.
        achieved: part of the held-out frames in which all hold when the others alone calibrate them.
    """

    inverse: Mapping[int, Floats]
    scale: float
    offset: float
    largest: Floats
    limit: float
    guaranteed: float
    achieved: float

    def bounds(self, model: torch.nn.Module, configurations: Sequence[Configuration]) -> list[Floats]:
        """Bound (N,) eV/Å on the error of the force on each atom, of each configuration."""
        found = _uncertainties(self.inverse, configurations, _features(model, configurations))
        return [self.scale * (uncertainty + self.offset) for uncertainty in found]


def known_region(store: Store, card: Card, model: torch.nn.Module) -> KnownRegion:
    """What a model of the store knows.

    Args:
        model: its MACE module.

    Raises:
        InputError: with fewer than :data:`FEWEST` held-out frames that have accurate forces.
    """
    trained, _ = _training_frames(store, card)
    held_out, forces = held_out_frames(store, card)
    if len(held_out) < FEWEST:
        raise InputError(
            f"model {card.model_id}: {len(held_out)} frames with accurate forces were not used in training, and bounds "
            f"on its errors need {FEWEST}; label test frames (budget.test), or certify it"
        )
    inverse = _inverses(trained, _features(model, trained))
    uncertainties = _uncertainties(inverse, held_out, _features(model, held_out))
    _, predicted = predict(model, held_out)
    errors = [np.linalg.norm(ours - theirs, axis=1) for ours, theirs in zip(predicted, forces, strict=True)]
    return calibrated(inverse, uncertainties, errors)


def _features(model: torch.nn.Module, configurations: Sequence[Configuration]) -> list[Floats]:
    """Features (N, D) of the atoms of each configuration that are invariant to rotations."""
    return [scalars for scalars, _ in node_features(model, configurations)]


def calibrated(inverse: Mapping[int, Floats], uncertainties: Sequence[Floats], errors: Sequence[Floats]) -> KnownRegion:
    """Scale uncertainties so that they bound the errors of held-out frames.

    Args:
        uncertainties: (N,) of the atoms of each frame.
        errors: (N,) eV/Å, of their force vectors.
    """
    offset = _OFFSET * float(np.median(np.concatenate(uncertainties)))
    scores = np.array([(e / (u + offset)).max() for u, e in zip(uncertainties, errors, strict=True)])
    scale = _quantile(scores)
    largest = np.array([scale * (u.max() + offset) for u in uncertainties])
    left_out = [_quantile(np.delete(scores, index)) for index in range(len(scores))]
    return KnownRegion(
        inverse=inverse,
        scale=scale,
        offset=offset,
        largest=largest,
        limit=BEYOND * float(np.quantile(largest, COVERAGE)),
        guaranteed=min(COVERAGE, len(scores) / (len(scores) + 1)),
        achieved=float(np.mean(scores <= left_out)),
    )


def _quantile(scores: Floats) -> float:
    """The ⌈(V + 1) coverage⌉-th smallest score; the largest with too few."""
    rank = math.ceil((len(scores) + 1) * COVERAGE - 1e-9)
    return float(np.sort(scores)[min(rank, len(scores)) - 1])


def _training_frames(store: Store, card: Card) -> tuple[list[Configuration], set[str]]:
    """Evenly chosen training frames of all levels, and the ids of all frames that trained or stopped the model."""
    train, seen = set(card.frames.accurate_train), set(card.frames.accurate)
    if card.training_set is not None:
        rows = pq.read_table(io.BytesIO(store.read(paths.training_set(card.molecule, card.training_set)))).to_pylist()
        train |= {row["frame_id"] for row in rows if row["split"] == "train"}
        seen |= {row["frame_id"] for row in rows if row["split"] in ("train", "valid")}
    frames = [f for name in card.molecules for f in store.frames(name, ids=train)]
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(MOST, len(frames))).astype(int))
    return [frames[int(index)].configuration for index in chosen], seen


def held_out_frames(store: Store, card: Card) -> tuple[list[Configuration], list[Floats]]:
    """Test frames and frames of the model's own MD, that did not train it, with their accurate forces."""
    _, seen = _training_frames(store, card)
    level = LevelOfTheory.parse(card.accurate, imported=True)
    configurations, forces = [], []
    for name in card.molecules:
        labels = store.labels(name, level)
        for frame in store.frames(name, ids=labels.keys() - seen):
            found = labels[frame.frame_id].forces
            if found is not None and _is_random(frame):
                configurations.append(frame.configuration)
                forces.append(found)
    return configurations, forces


def _is_random(frame: Frame) -> bool:
    """Whether a frame was drawn at random, unlike those of minima and torsions."""
    return frame.split == "test" or frame.origin.method == "on-policy"


def _inverses(configurations: Sequence[Configuration], features: Sequence[Floats]) -> dict[int, Floats]:
    numbers, atoms = np.concatenate([c.numbers for c in configurations]), np.concatenate(list(features))
    found = {}
    for element in np.unique(numbers):
        of = atoms[numbers == element]
        covariance = of.T @ of
        ridge = _REGULARISATION * np.trace(covariance) / len(covariance)
        found[int(element)] = np.linalg.inv(covariance + ridge * np.eye(len(covariance)))
    return found


def _uncertainties(
    inverse: Mapping[int, Floats], configurations: Sequence[Configuration], features: Sequence[Floats]
) -> list[Floats]:
    """(N,) of each configuration; infinite for elements without a training atom."""
    found = []
    for configuration, atoms in zip(configurations, features, strict=True):
        squared = np.full(len(atoms), np.inf)
        for element, matrix in inverse.items():
            of = configuration.numbers == element
            squared[of] = np.einsum("ni,ij,nj->n", atoms[of], matrix, atoms[of])
        found.append(np.sqrt(np.maximum(squared, 0.0)))
    return found
