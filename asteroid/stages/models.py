"""From labels to models: training frames, trainings, and the resulting models.

:func:`train` needs torch and runs in a separate process; the other functions read the store. After training, the
minimum of the final model is found for :mod:`asteroid.stages.minima`.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from asteroid.configuration import Frame, Split
from asteroid.data.training_set import TrainingFrames, TrainingSet
from asteroid.manifest import MoleculeSettings
from asteroid.naming import content, digest, file_digest
from asteroid.processes import Progress
from asteroid.stages.common import import_mace, label_key, waiting
from asteroid.stages.minima import find_model_minimum
from asteroid.stages.round_files import last_model, training_settings
from asteroid.store import Store, paths, records
from asteroid.store.account import charge
from asteroid.store.locks import lock
from asteroid.store.models import Card, has_model, read_card
from asteroid.store.rows import Attempt
from asteroid.strategies import BASELINE, strategy_named
from asteroid.training.baseline import stored_atoms
from asteroid.training.held_out import HeldOut

if TYPE_CHECKING:
    from asteroid.validation.errors import Errors


LEAST_HELD_OUT = 10
"""Smallest number of held-out frames of which active learning keeps half out of early stopping, to calibrate the
uncertainty and to test the rounds. Fewer than five frames are too few for either.
"""


@dataclass(frozen=True)
class FinalModel:
    """The model of a round.

    Args:
        final: id of the model that is delivered and certified: of the manifest's strategy, or ``scratch`` of
            :class:`Models` if that has a smaller held-out error with 95 % confidence.
    """

    final: str


@dataclass(frozen=True)
class Models(FinalModel):
    """The models of one molecule.

    Args:
        scratch: id of the model trained on the same accurate labels alone: the baseline, and the teacher of
            ``weighted``.
        passed_over: id of the strategy's model if it is not the final one.
    """

    scratch: str
    passed_over: str | None = None


def training_frames(
    store: Store, molecule: MoleculeSettings
) -> tuple[TrainingFrames, dict[str, Attempt], dict[str, Attempt]]:
    """Frames for training, early stopping and testing, with the accepted accurate and cheap labels.

    The number of accurate labels is that of the budget, in the order of selection, so a smaller budget gives a subset.
    Cheap labels of held-out frames measure the bias and never train; those of early-stopping frames are part of the
    held-out difference of strategies that learn it.
    """
    from asteroid.sampling.choose import chosen_accurate

    accurate = store.labels(molecule.name, molecule.accurate)
    cheap = store.labels(molecule.name, molecule.cheap)
    # The table, without geometries, because every step calls this.
    found = store.frame_table(molecule.name)
    splits = dict(zip(found["frame_id"].to_pylist(), found["split"].to_pylist(), strict=True))
    selected = store.selected(molecule.name, molecule.accurate)

    def of(split: Split) -> tuple[str, ...]:
        # Then other selections, such as those of an import.
        chosen = dict.fromkeys([*chosen_accurate(store, molecule, split), *selected])
        usable = (i for i in chosen if splits.get(i) == split and i in accurate)
        return tuple(itertools.islice(usable, molecule.accurate_labels(split)))

    valid, every = of("valid"), 1
    if molecule.acquisition is not None and len(valid) >= LEAST_HELD_OUT:
        # Alternating in the order of selection, so that a larger budget does not move frames.
        every = 2
    frames = TrainingFrames(
        tuple(sorted(of("train"))),
        tuple(sorted(valid[::every])),
        tuple(sorted(of("test"))),
        tuple(sorted(i for i in cheap if splits.get(i) == "train")),
        tuple(sorted(valid[1::2])) if every == 2 else (),
        tuple(sorted(set(found["numbers"][0].as_py()) if len(found) else ())),
    )
    return frames, accurate, cheap


def training_set(store: Store, molecule: MoleculeSettings) -> TrainingSet:
    """Training data of a molecule's model: of this molecule, or of all molecules of the model."""
    members = {member.name: training_frames(store, member)[0] for member in molecule.trained_on}
    return TrainingSet(molecule.cheap, molecule.accurate, members, molecule.ladder)


def trained_models(store: Store, molecule: MoleculeSettings) -> Models | None:
    """The models for these settings and the labels now in the store; None before they are trained."""
    path = _models_path(store, molecule)
    if not store.exists(path):
        return None
    models = records.read(store, Models, path)
    # A damaged model was moved away, and is trained again.
    there = all(has_model(store, molecule.model_name, model_id) for model_id in {models.final, models.scratch})
    return models if there else None


def round_model(store: Store, molecule: MoleculeSettings) -> str | None:
    """Id of the final model, which is all that a round needs; None before it is trained."""
    path = _models_path(store, molecule, of="round")
    if store.exists(path):
        final = records.read(store, FinalModel, path).final
        return final if has_model(store, molecule.model_name, final) else None
    models = trained_models(store, molecule)
    return (models.passed_over or models.final) if models else None


def _models_path(store: Store, molecule: MoleculeSettings, *, of: Literal["round", "pipeline"] = "pipeline") -> str:
    """Path of the index entry of the models, named by all inputs of the training, so that reading it needs no torch.

    Args:
        of: the entry with the final model alone (round), or with all models (pipeline).
    """
    foundation = molecule.training.foundation
    inputs: dict[str, Any] = {
        "levels": [str(molecule.cheap), str(molecule.accurate)],
        "training": content(molecule.training, exclude={"device", "foundation"}),
        "foundation": file_digest(foundation) if foundation else None,
    }
    members = {member.name: _training_labels(store, member) for member in molecule.trained_on}
    inputs |= {"molecules": members} if molecule.model else members[molecule.name]
    if (start := last_model(store, molecule)) is not None:
        settings = content(training_settings(molecule, start), exclude={"device", "foundation"})
        inputs["start"] = [start, {**settings, "foundation": None}]  # Given above by its content.
    return paths.trained(molecule.model_name, digest(inputs), round_only=of == "round")


def _training_labels(store: Store, molecule: MoleculeSettings) -> dict[str, Any]:
    """The labels of a molecule on which its models depend."""
    frames, accurate, cheap = training_frames(store, molecule)
    labels: dict[str, Any] = {
        "accurate": [label_key(accurate[i]) for i in (*frames.train, *frames.valid)],
        "cheap": [label_key(cheap[i]) for i in frames.cheap],
        # Strategies that learn the difference of the levels use that of the held-out frames for early stopping.
        "paired": [label_key(cheap[i]) for i in frames.valid if i in cheap],
        "ladder": [
            [label_key(label) for i, label in sorted(store.labels(molecule.name, level).items()) if i in cheap]
            for level in molecule.ladder
        ],
    }
    difference = strategy_named(molecule.training.strategy).learns_difference
    levels = [molecule.accurate, *([molecule.cheap] if difference else [])]
    # Stores from before free atoms have none, and keep their models.
    if any(atoms := [stored_atoms(store, level, frames.elements) for level in levels]):
        labels["atoms"] = atoms
    return labels


def lacks_training(store: Store, molecule: MoleculeSettings, *, baseline: bool = True) -> bool:
    """Whether the models for the labels now in the store are missing.

    Args:
        baseline: False if the final model is enough, as for a round.
    """
    return (trained_models if baseline else round_model)(store, molecule) is None


def train(
    store: Store, molecule: MoleculeSettings, *, baseline: bool = True, on_progress: Progress | None = None
) -> Card:
    """Train the scratch model and the manifest's strategy, and find the final model's minimum. Needs torch.

    During active learning, training continues from the model of the previous round.

    Args:
        baseline: False for a round, which needs only the final model.

    Returns:
        The card of the final model.

    Raises:
        TrainingError: when too few frames have labels.
    """
    import_mace()
    with (
        charge(store, molecule.model_name, "training") as entry,
        lock(store, f"training {molecule.model_name}", on_wait=waiting(on_progress)),
    ):
        # Another run may have trained it in the meantime.
        models = trained_models(store, molecule)
        final = models.final if models else (None if baseline else round_model(store, molecule))
        if final is not None:
            return read_card(store, molecule.model_name, final)
        card = _train(store, molecule, baseline, entry.following(on_progress))
        entry.model_id = card.model_id
        return card


def _train(store: Store, molecule: MoleculeSettings, baseline: bool, on_progress: Progress | None) -> Card:
    from asteroid.training.run import train_model

    data = training_set(store, molecule)
    path = _models_path(store, molecule, of="pipeline" if baseline else "round")
    start = last_model(store, molecule)

    def run(strategy: Any, start: str | None = None) -> Card:
        return train_model(
            store,
            molecule.model_name,
            data,
            strategy=strategy,
            settings=training_settings(molecule, start),
            start=start,
            on_progress=training_notes(on_progress),
        )

    scratch = run(BASELINE) if baseline else None
    final, passed_over = run(molecule.training.strategy, start), None
    if scratch is not None and _surely_better(store, molecule, data, scratch.model_id, final.model_id):
        final, passed_over = scratch, final.model_id
    find_model_minimum(store, molecule, final.model_id)
    index = Models(final.model_id, scratch.model_id, passed_over) if scratch else FinalModel(final.model_id)
    records.write(store, path, index)
    return final


def _surely_better(store: Store, molecule: MoleculeSettings, data: TrainingSet, first: str, second: str) -> bool:
    """Whether the first model has the smaller error on held-out frames with 95 % confidence.

    Held-out frames may be used for choices, and most of them stopped both trainings; test frames may not.
    """
    from asteroid.validation.errors import improvement

    if first == second:
        return False
    ids = {name: frames.held_out for name, frames in data.molecules.items()}
    ratio = improvement(*(errors_on(store, molecule, model_id, ids) for model_id in (first, second)))
    return ratio.bounds(0.95)[0] > 1


def errors_on(store: Store, molecule: MoleculeSettings, model_id: str, ids: Mapping[str, Sequence[str]]) -> "Errors":
    """Errors of a model on labelled frames. Needs torch.

    Args:
        molecule: any molecule of the model.
        ids: frame ids, by molecule.
    """
    from asteroid.training.predict import predict
    from asteroid.training.run import load_calculator
    from asteroid.validation.errors import measure_errors

    found: list[tuple[Frame, Attempt]] = []
    for name, wanted in ids.items():
        labels = store.labels(name, molecule.accurate)
        frames = {frame.frame_id: frame for frame in store.frames(name, ids=wanted)}
        found += [(frames[i], labels[i]) for i in wanted]
    calculator = load_calculator(store, molecule.model_name, model_id, device=molecule.training.device)
    energies, forces = predict(calculator, [frame.configuration for frame, _ in found])
    return measure_errors(
        [frame.frame_id for frame, _ in found],
        reference_energies=[float(label.energy or 0.0) for _, label in found],
        predicted_energies=energies,
        reference_forces=[label.forces for _, label in found],
        predicted_forces=forces,
        groups=[_trajectory(frame) for frame, _ in found],
    )


def _trajectory(frame: Frame) -> str:
    """Name shared by correlated frames: those of one trajectory; normal-mode displacements are independent."""
    if frame.origin.method == "on-policy":
        return f"replica {frame.origin.parameters['replica']}"
    return frame.frame_id if frame.origin.method == "normal-modes" else frame.group


def held_out_error(card: Card) -> str:
    """Errors of a model on the held-out frames that stopped its training, as text."""
    return str(HeldOut(card.valid_force_mae, card.valid_energy_mae))


def training_notes(on_progress: Progress | None) -> Callable[[str, int, int, HeldOut | None], None] | None:
    """Turn a callback with a note into the callback of the training."""
    if on_progress is None:
        return None

    def show(stage: str, step: int, steps: int, held_out: HeldOut | None) -> None:
        on_progress(stage if held_out is None else f"{stage}, {held_out}", step, steps)

    return show
