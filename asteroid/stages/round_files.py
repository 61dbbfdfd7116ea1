"""Records of the active-learning rounds in the store, and the settings of a round that follow from them.

Records (:mod:`asteroid.store.round_records`) are written once. Each molecule that trains the model has
``explored-NNN.json`` (candidate frames from MD), ``picked-NNN.json`` (the batch to label) and ``round-NNN.json``
(errors, cost and decision). ``further-NNN.json``, one per model, requests a further round
(:mod:`asteroid.stages.feedback`). Budgets are not part of the folder's name, so a run with a larger budget continues
the same rounds. :mod:`asteroid.stages.rounds` decides what comes next.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from asteroid.configuration import Split
from asteroid.manifest import AcquisitionSettings, MoleculeSettings, SettledChain, TrainingSettings
from asteroid.naming import content, digest, file_digest
from asteroid.store import Store, paths, records
from asteroid.store.models import has_model
from asteroid.store.round_records import Explored, Further, Picked, RoundRecord
from asteroid.strategies import strategy_named

Record = TypeVar("Record", Explored, Picked, RoundRecord, Further)

_NAMES: Final = {Explored: "explored", Picked: "picked", RoundRecord: "round", Further: "further"}

Round = Mapping[str, RoundRecord]
"""Records of a finished round, by name of the training molecule."""

TRAINING_SPLITS: Final[tuple[Split, ...]] = ("train", "valid")
"""Splits that grow from round to round; test frames are selected once."""

BUDGETS: Final = frozenset({"rounds", "core_hours", "target", "least_gain", "certify_rounds"})
"""Acquisition settings that only limit the number of rounds."""


def acquisition(molecule: MoleculeSettings) -> AcquisitionSettings:
    """Acquisition settings of the molecules that train the model."""
    settings = molecule.trained_on[0].acquisition
    assert settings is not None, "only a molecule with these settings has rounds"
    return settings


def trainers(molecule: MoleculeSettings) -> tuple[MoleculeSettings, ...]:
    """The molecules that train the molecule's model, each with a reference to that model."""
    if molecule.model is None:
        return (molecule,)
    return tuple(replace(member, model=molecule.model) for member in molecule.model.molecules)


def with_labels(molecule: MoleculeSettings, labels: Mapping[str, int]) -> MoleculeSettings:
    """The settings with these budgets of accurate labels: each round is represented by its label budget.

    Args:
        labels: by name of the training molecule.
    """

    def limited(one: MoleculeSettings) -> MoleculeSettings:
        # Molecules that only validate the model keep theirs.
        accurate = labels.get(one.name, one.budget.accurate)
        return replace(one, budget=one.budget.model_copy(update={"accurate": accurate}))

    return molecule.with_change(limited)


def at_round(molecule: MoleculeSettings, found: Mapping[str, Picked] | Round) -> MoleculeSettings:
    """The settings with the budgets of labels of a round.

    Args:
        found: records of the round, by name of the training molecule.
    """
    settled = with_labels(molecule, {name: record.labels for name, record in found.items()})

    def distributed(one: MoleculeSettings) -> MoleculeSettings:
        ladder = found[one.name].ladder if one.name in found else ()
        return replace(one, budget=one.budget.model_copy(update={"ladder": ladder})) if ladder else one

    return settled.with_change(distributed)


def model_of(found: Round) -> str:
    """Id of the model trained in a round."""
    return next(iter(found.values())).model_id


def last_model(store: Store, molecule: MoleculeSettings) -> str | None:
    """Id of the model from which a training with these budgets continues: of the last round with fewer labels.

    None for the first round, without rounds, and where every round trains from random weights.
    """
    if molecule.trained_on[0].acquisition is None or not trains_on(molecule):
        return None
    budget = sum(map(_budgeted, molecule.trained_on))
    rounds = read_rounds(store, molecule)
    earlier = [found for found in rounds if sum(r.labels + sum(r.ladder) for r in found.values()) < budget]
    return model_of(earlier[-1]) if earlier else None


def _budgeted(molecule: MoleculeSettings) -> int:
    """All labels that rounds buy of a molecule."""
    between = molecule.ladder_labels.values() if isinstance(molecule.chain, SettledChain) else ()
    return molecule.budget.accurate + sum(between)


def trains_on(molecule: MoleculeSettings) -> bool:
    """Whether later rounds continue from the model of the previous round."""
    return acquisition(molecule).train_on is not None and strategy_named(molecule.training.strategy).goes_on


def training_settings(molecule: MoleculeSettings, start: str | None) -> TrainingSettings:
    """Training settings of the manifest; fewer steps at half the learning rate where a model continues from another.

    The full rate loses part of the fit: formaldehyde, GFN2 to CCSD(T), from 20 to 30 to 40 labels in 0.4 of the steps,
    two seeds: 1.05 and 0.99 meV/Å at the full rate, 0.93 and 0.85 at half, 0.96 and 0.90 at a quarter, 1.42 and 1.13
    from random weights.

    Args:
        start: id of the model to continue from.
    """
    if start is None:
        return molecule.training
    part, settings = acquisition(molecule).train_on or 1.0, molecule.training
    # The strategy foundation trains for scratch_steps, too.
    names = ("pretrain_steps", "finetune_steps", "scratch_steps")
    steps = {name: max(1, round(part * count)) for name in names if (count := getattr(settings, name)) is not None}
    rates = {name: getattr(settings, name) / 2 for name in ("learning_rate", "finetune_learning_rate")}
    return settings.model_copy(update=steps | rates)


def read_rounds(store: Store, molecule: MoleculeSettings) -> list[Round]:
    """All finished rounds in order; a round whose model is missing is not finished."""
    members, found = trainers(molecule), list[Round]()
    while True:
        records = {member.name: read_record(store, member, RoundRecord, len(found)) for member in members}
        there = {name: record for name, record in records.items() if record is not None}
        if len(there) < len(members) or not has_model(store, molecule.model_name, model_of(there)):
            return found
        found.append(there)


def read_record(store: Store, molecule: MoleculeSettings, kind: type[Record], number: int) -> Record | None:
    """A molecule's record of one step of a round; None before the step has finished."""
    path = _record_path(molecule, kind, number)
    return records.read(store, kind, path) if store.exists(path) else None


def write_record(store: Store, molecule: MoleculeSettings, record: Explored | Picked | RoundRecord | Further) -> None:
    """Write a molecule's record of one step of a round."""
    records.write(store, _record_path(molecule, type(record), record.round), record)


def _record_path(molecule: MoleculeSettings, kind: type, number: int) -> str:
    # A further round is requested for all molecules of the model.
    folder = paths.loop(molecule.model_name, loop_name(molecule)) if kind is Further else loop_folder(molecule)
    return f"{folder}/{_NAMES[kind]}-{number:03d}.json"


def loop_folder(molecule: MoleculeSettings) -> str:
    """Folder of a molecule's records."""
    return paths.loop_molecule(molecule.model_name, loop_name(molecule), molecule.name)


def loop_name(molecule: MoleculeSettings) -> str:
    """Hash of all settings that the rounds depend on; budgets only decide whether there is another round."""
    foundation = molecule.training.foundation
    # By its content: the manifest may move.
    return _loop_name(molecule, foundation and file_digest(foundation))


def _loop_name(molecule: MoleculeSettings, foundation: str | None) -> str:
    training = content(molecule.training, exclude={"device", "foundation"})
    shaping: dict[str, Any] = {
        "levels": [str(molecule.cheap), str(molecule.accurate)],
        "training": {**training, "foundation": foundation},
        "acquisition": content(acquisition(molecule), exclude=BUDGETS),
    }
    if molecule.model is None:
        shaping["valid_fraction"] = molecule.budget.valid_fraction
    else:
        shaping["molecules"] = {member.name: member.budget.valid_fraction for member in molecule.trained_on}
    return digest(shaping)


def adopt_rounds(store: Store, molecule: MoleculeSettings) -> None:
    """Copy the rounds of version 0.1, whose folder was named by the path of the foundation model."""
    old, new = (
        paths.loop(molecule.model_name, name)
        for name in (_loop_name(molecule, molecule.training.foundation), loop_name(molecule))
    )
    if old != new and not store.names(new):
        # The first rounds last, so that a partial copy does not count as a loop.
        for name in reversed(store.names(old)):
            store.write(f"{new}/{name}", store.read(f"{old}/{name}"))
