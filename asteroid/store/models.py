"""Trained models as files of the store: the weights, and the card that says what they were made from.

Each knows the other: a card holds the SHA-256 of the weights' file, and that file holds the model's id, which is a hash
of all that determines it. Weights are read through :func:`read_model` alone, which checks the hash: torch opens a file
with flipped bits without a word, as other weights. Needs no torch; :mod:`asteroid.training.run` writes it, and
:mod:`asteroid.mace_files` opens it without running code of it.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from asteroid.errors import StoreError
from asteroid.store import paths, records
from asteroid.store.files import Files
from asteroid.store.records import LeftOut

ID_ATTRIBUTE = "asteroid_model_id"
"""Of the MACE module in the file: the id of its model."""


@dataclass(frozen=True, kw_only=True)
class CardFrames:
    """Which labels a model has seen, and how many.

    Args:
        accurate_train, accurate_valid: ids of the frames whose accurate labels trained it and stopped its training.
        cheap: cheap labels that trained it.
        paired: cheap labels of the frames with accurate ones.
        configurations: that trained it without a label.
        energy_only: accurate labels without forces.
    """

    accurate_train: tuple[str, ...]
    accurate_valid: tuple[str, ...]
    cheap: int
    paired: int = 0
    configurations: int = 0
    energy_only: int = 0

    @property
    def accurate(self) -> tuple[str, ...]:
        """Ids of all frames with an accurate label."""
        return (*self.accurate_train, *self.accurate_valid)


@dataclass(frozen=True)
class Evaluation:
    """One line of a training's history; errors are on the held-out frames, of the averaged weights.

    Args:
        loss: mean over the steps since the last evaluation.
        valid_force_mae, valid_energy_mae: see :class:`~asteroid.training.held_out.HeldOut`.
    """

    stage: str
    step: int
    learning_rate: float
    loss: float
    valid_force_mae: float | None
    valid_energy_mae: float


@dataclass(frozen=True)
class Candidate:
    """A γ that was tried, with the held-out error that chooses: of forces, or of energies where there are no forces.

    Args:
        gamma: eV/Å; None is no weighting.
        valid_force_mae: eV/Å.
        valid_energy_mae: eV/atom.
    """

    gamma: float | None
    valid_force_mae: LeftOut[float] = None
    valid_energy_mae: LeftOut[float] = None


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How M cheap frames weighed in the pretraining.

    Args:
        gamma: eV/Å, as chosen; None is no weighting.
        effective_sample_size: frames of equal weight that count as much.
        frame_ids: M ids; none in the first cards of version 0.1.
        disagreement: (M,) eV/Å, mean over the force components of the frame, between cheap label and teacher.
        values: (M,) of mean 1.
        atoms: (N,) of mean 1 for each frame, where atoms were weighed.
    """

    gamma: float | None
    candidates: tuple[Candidate, ...]
    effective_sample_size: float
    frame_ids: tuple[str, ...] = ()
    disagreement: tuple[float, ...]
    values: tuple[float, ...]
    atoms: tuple[tuple[float, ...], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class CorrectionSummary:
    """What corrected labels were made from, and how far off they are: of a molecule, or of all of a model.

    Args:
        seconds: wall time of the kernels; None of one of several molecules.
        broken: corrected labels that were not believed, likewise.
        faded: corrections that were uncertain and faded to the level below, likewise.
        alone: whether the accurate labels alone made them, without any cheap one.
        raw_force_mae, valid_force_mae: eV/Å, of cheap and of corrected labels on the held-out frames; None without
            forces.
        labels: frames that the last step was learnt from.
        steps: from level to level: ``labels``, ``network`` (its part, 0 to 1) and what the kernel chose.
        molecules: each by itself, where there are several.
    """

    seconds: LeftOut[float] = None
    broken: LeftOut[int] = None
    faded: LeftOut[int] = None
    alone: bool = False
    raw_force_mae: float | None
    valid_force_mae: float | None
    labels: int
    steps: tuple[Mapping[str, Any], ...] = ()
    molecules: "LeftOut[Mapping[str, CorrectionSummary]]" = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model was made from, and its errors.

    Args:
        molecule: the model's name, which is that of its molecule where there is only one.
        molecules: that trained it.
        training_set: names the file that says which labels; None in cards of version 0.1.
        strategy: or ``member``, of a committee.
        cheap: level of theory, None where no label of it was read.
        accurate: level of theory.
        adds_to: level whose energies and forces the model must be added to; None where it stands alone.
        created: ISO.
        settings: of the training, as JSON.
        compositions: formulas of the training frames; none in cards of version 0.1.
        reference_energies: eV by element; the zero of the model's energies.
        energy_shift: eV/atom, fitted beside them.
        baseline: where the reference energies come from, in words.
        valid_force_mae: eV/Å on the held-out frames; None where none has forces.
        valid_energy_mae: eV/atom on the held-out frames.
        seconds: wall time by stage.
        core_seconds: CPU time; wall time in cards of version 0.1.
        gpu_seconds: during which a GPU was held.
        precision: of the training.
        parameters: how many the model has.
        parents: ids of models by their role: ``teacher``, ``teacher-2``, …, ``start``.
        model_sha256: of the weights; None in cards of version 0.1.
    """

    model_id: str
    molecule: str
    molecules: tuple[str, ...] = ()
    training_set: str | None = None
    strategy: str
    cheap: str | None
    accurate: str
    adds_to: str | None = None
    seed: int
    created: str
    asteroid_version: str
    settings: Mapping[str, Any]
    frames: CardFrames
    compositions: tuple[str, ...] = ()
    reference_energies: Mapping[str, float]
    energy_shift: float | None = None
    baseline: str | None = None
    history: tuple[Evaluation, ...]
    weights: Weights | None
    correction: CorrectionSummary | None = None
    valid_force_mae: float | None
    valid_energy_mae: float = math.nan
    seconds: Mapping[str, float]
    core_seconds: float
    gpu_seconds: float = 0.0
    device: str
    precision: str
    parameters: int
    parents: Mapping[str, str]
    model_sha256: str | None = None

    def __post_init__(self) -> None:
        # Cards of version 0.1 name no molecules: theirs has the name of the model.
        object.__setattr__(self, "molecules", self.molecules or (self.molecule,))

    @property
    def teachers(self) -> list[str]:
        """Ids of the models that taught this one."""
        return [model_id for role, model_id in self.parents.items() if role.startswith("teacher")]


def has_model(store: Files, molecule: str, model_id: str) -> bool:
    """Whether a finished model is there, with its card."""
    return all(store.exists(paths.model(molecule, model_id, name)) for name in ("card.json", "model.model"))


def write_model(store: Files, card: Card, weights: bytes) -> Card:
    """Store a model, its card last: with it the model is complete. Returns the card with the hash of the weights."""
    whole = replace(card, model_sha256=hashlib.sha256(weights).hexdigest())
    store.write(paths.model(card.molecule, card.model_id), weights)
    records.write(store, paths.model(card.molecule, card.model_id, "card.json"), whole)
    return whole


def read_card(store: Files, molecule: str, model_id: str) -> Card:
    """The card of a finished model.

    Raises:
        StoreError: when there is none, or it is damaged or that of another model.
    """
    try:
        card = records.read(store, Card, paths.model(molecule, model_id, "card.json"))
    except FileNotFoundError:
        raise _missing(store, molecule, model_id, "card.json") from None
    if card.model_id != model_id:
        raise damaged_model(store, molecule, model_id, f"its card is that of model {card.model_id}")
    return card


def read_cards(store: Files, molecule: str) -> list[Card]:
    """The cards of all finished models of a name."""
    names = store.names(paths.models(molecule))
    return [read_card(store, molecule, i) for i in names if store.exists(paths.model(molecule, i, "card.json"))]


def read_model(store: Files, molecule: str, model_id: str) -> bytes:
    """The file of a finished model, as it was written.

    Cards of earlier versions hold no hash: such models are read without a check, as training them again costs more
    than it tells.

    Raises:
        StoreError: when it is not there or has changed since.
    """
    expected = read_card(store, molecule, model_id).model_sha256
    try:
        weights = store.read(paths.model(molecule, model_id))
    except FileNotFoundError:
        raise _missing(store, molecule, model_id, "model.model") from None
    if expected is not None and hashlib.sha256(weights).hexdigest() != expected:
        raise damaged_model(store, molecule, model_id, "its SHA-256 is not the one in its card")
    return weights


def damaged_model(store: Files, molecule: str, model_id: str, what: str) -> StoreError:
    """The error for a model that is not what was written."""
    return StoreError(
        f"{store.location(paths.model(molecule, model_id))} is damaged or foreign ({what}); move its folder out of the "
        "store and run again: the model is trained again"
    )


def _missing(store: Files, molecule: str, model_id: str, name: str) -> StoreError:
    return StoreError(
        f"{store.location(paths.model(molecule, model_id, name))} is missing; put it back, or run again: the model is "
        "trained again"
    )
