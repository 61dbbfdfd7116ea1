"""Read the labels that a strategy needs from the store, and the settings and labels that determine its model.

Called by :mod:`asteroid.training.run`; :mod:`asteroid.training.strategies` defines what each strategy needs.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asteroid.data.training_set import TrainingSet
from asteroid.errors import InputError, TrainingError
from asteroid.levels import LevelOfTheory
from asteroid.manifest import TrainingSettings
from asteroid.naming import content, file_digest
from asteroid.store import Store
from asteroid.strategies import BASELINE, StrategyDefinition, all_strategies, strategy_named
from asteroid.training.dataset import LabelledFrame, labelled_frames, sampled_frames
from asteroid.training.problem import Problem
from asteroid.training.strategies.delta import differences


def read_problem(
    store: Store, data: TrainingSet, definition: StrategyDefinition, settings: TrainingSettings
) -> Problem:
    """The labels that a recipe needs, without teachers; see :func:`asteroid.training.run.train_model`.

    Raises:
        TrainingError: when too few of these frames have labels.
    """
    # Sorted, so that the model does not depend on the order of selection.
    train = _labelled(store, data.accurate, {name: sorted(f.train) for name, f in data.molecules.items()})
    valid = _labelled(store, data.accurate, {name: sorted(f.valid) for name, f in data.molecules.items()})
    pretraining = {name: sorted(frames.cheap) for name, frames in data.molecules.items()}
    below = _labelled(store, data.cheap, pretraining) if definition.needs_cheap else []
    paired: dict[str, LabelledFrame] = {}
    if definition.needs_paired:
        both = _ids_by_molecule((*train, *valid))
        paired = {frame.frame_id: frame for frame in _labelled(store, data.cheap, both)}
    ladder = []
    if "ladder" in definition.reads:
        below_accurate = _ids_by_molecule((*train, *below))
        for level in data.between:
            ladder.append({frame.frame_id: frame for frame in _labelled(store, level, below_accurate)})
    configurations = _configurations(store, pretraining) if definition.needs_configurations else []
    name = ", ".join(data.molecules)
    _check_counts(f"{name}: ", f"at {data.accurate}", train, valid)
    if definition.needs_cheap and len(below) < 2:
        raise TrainingError(f"{name}: {len(below)} labels at {data.cheap} to pretrain on; label at least 2")
    if definition.learns_difference:
        train, valid = differences(train, paired), differences(valid, paired)
        _check_counts(f"{name}: ", f"at both {data.accurate} and {data.cheap}", train, valid)
    return Problem(train, valid, below, settings, paired_cheap=paired, ladder=ladder, configurations=configurations)


def _labelled(store: Store, level: LevelOfTheory, ids: Mapping[str, Sequence[str]]) -> list[LabelledFrame]:
    """Labels of frames given by molecule."""
    return [frame for molecule, wanted in ids.items() for frame in labelled_frames(store, molecule, level, wanted)]


def _ids_by_molecule(frames: Iterable[LabelledFrame]) -> dict[str, list[str]]:
    """Sorted unique frame ids by molecule."""
    ids: dict[str, set[str]] = {}
    for frame in frames:
        ids.setdefault(frame.molecule, set()).add(frame.frame_id)
    return {molecule: sorted(found) for molecule, found in ids.items()}


def _configurations(store: Store, ids: Mapping[str, Sequence[str]]) -> list[LabelledFrame]:
    """The Boltzmann-distributed frames among these.

    Raises:
        TrainingError: when there are fewer than two.
    """
    found = [frame for molecule, wanted in ids.items() for frame in sampled_frames(store, molecule, wanted)]
    if len(found) < 2:
        raise TrainingError(
            f"{', '.join(ids)}: {len(found)} of {sum(map(len, ids.values()))} training configurations were drawn at a "
            "known temperature, and score matching learns from no others; sample with sampling.methods: [md] or import "
            "with --temperature"
        )
    return found


def _check_counts(where: str, which: str, train: Sequence[LabelledFrame], valid: Sequence[LabelledFrame]) -> None:
    if len(train) < 2:
        raise TrainingError(
            f"{where}{len(train)} labels {which} to train from; label at least 2 training frames (asteroid status "
            "--reasons says why labels failed)"
        )
    if not valid:
        raise TrainingError(f"{where}no held-out label {which}; label at least 1 such frame")


def label_keys(problem: Problem) -> dict[str, list[Any]]:
    """Ids and energies of the labels that determine a model."""
    return {
        "train": [_label(f) for f in problem.accurate_train],
        "valid": [_label(f) for f in problem.accurate_valid],
        "cheap": [_label(f) for f in problem.cheap],
        "paired": [_label(f) for _, f in sorted(problem.paired_cheap.items())],
        "ladder": [[_label(f) for _, f in sorted(level.items())] for level in problem.ladder],
        "configurations": [[f.frame_id, f.temperature] for f in problem.configurations],
    }


def _label(frame: LabelledFrame) -> list[Any]:
    """Id and energy of a label, marked if it has no forces."""
    return [frame.frame_id, frame.energy] if frame.forces is not None else [frame.frame_id, frame.energy, "energy only"]


def determining_settings(
    settings: TrainingSettings, definition: StrategyDefinition, start: str | None = None
) -> dict[str, Any]:
    """Settings that determine the finished model of a strategy, and so its name.

    A setting in ``reads`` of some strategies counts only for these; any other setting counts for all.

    Args:
        settings: from :func:`settings_for`.
        start: id of the model that the training starts from.
    """
    read = definition.reads | (strategy_named(BASELINE).reads if definition.needs_teacher else frozenset())
    particular = frozenset().union(*(other.reads for other in all_strategies()))
    # ``scratch_steps`` counts as ``steps_alone``, which is derived from it.
    values = content(settings, exclude={"strategy", "device", "scratch_steps", *(particular - read)})
    values |= {name: getattr(settings, name) for name in sorted(read - type(settings).model_fields.keys())}
    if definition.needs_teacher and settings.teachers > 1:
        values["teacher_seeds"] = teacher_seeds(settings)
    if start is not None:
        values["start"] = start
    elif settings.foundation is not None:
        values["foundation"] = file_digest(settings.foundation)
    # The starting model has its own size; only teachers are built.
    if (start is not None or settings.foundation is not None) and not definition.needs_teacher:
        values.pop("model")
    return values


def teacher_seeds(settings: TrainingSettings) -> list[int]:
    """Seeds of the teachers. The first has the seed of its student: it is the scratch model of a comparison.

    The others are drawn: with consecutive numbers, the second teacher of seed 0 would be the first of seed 1, and seeds
    of a comparison would not be independent.
    """
    further = np.random.SeedSequence([settings.seed, 0x7EAC]).generate_state(settings.teachers - 1)
    return [settings.seed, *(int(seed >> 1) for seed in further)]


def settings_for(
    settings: TrainingSettings, definition: StrategyDefinition, start: str | None = None
) -> TrainingSettings:
    """Settings for a strategy, with a foundation model only where the strategy starts from it.

    Args:
        start: id of a model in the store to start from, in place of the foundation model.

    Raises:
        InputError: when the strategy needs a foundation model and there is none, or when it is not a file.
    """
    if definition.starts_from == "random" or start is not None:
        return settings.model_copy(update={"foundation": None})
    if settings.foundation is None:
        if definition.starts_from == "foundation":
            raise InputError(
                f"foundation: found nothing, with the strategy {definition.name}; write the path of a MACE model"
            )
        return settings
    path = Path(settings.foundation).expanduser()
    if not path.is_file():
        raise InputError(f"foundation: '{path}' is not a file; write the path of a MACE model")
    return settings.model_copy(update={"foundation": str(path)})
