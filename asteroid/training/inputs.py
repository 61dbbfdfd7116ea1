"""What a strategy trains from, read from the store: the labels that its recipe needs, and what of them names its model.

:mod:`asteroid.training.run` calls this before a training; :mod:`asteroid.training.strategies` says what each needs.
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
    # Sorted: the same frames make the same model, in whatever order they were chosen.
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
    """Labels of these frames, by molecule."""
    return [frame for molecule, wanted in ids.items() for frame in labelled_frames(store, molecule, level, wanted)]


def _ids_by_molecule(frames: Iterable[LabelledFrame]) -> dict[str, list[str]]:
    """Sorted, each once."""
    ids: dict[str, set[str]] = {}
    for frame in frames:
        ids.setdefault(frame.molecule, set()).add(frame.frame_id)
    return {molecule: sorted(found) for molecule, found in ids.items()}


def _configurations(store: Store, ids: Mapping[str, Sequence[str]]) -> list[LabelledFrame]:
    """Those of these frames that were drawn at a known temperature.

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
        raise TrainingError(f"{where}{len(train)} labels {which} to train from; label at least 2 training frames")
    if not valid:
        raise TrainingError(f"{where}no held-out label {which}; label at least 1 such frame")


def label_keys(problem: Problem) -> dict[str, list[Any]]:
    """What of the labels determines a model."""
    return {
        "train": [_label(f) for f in problem.accurate_train],
        "valid": [_label(f) for f in problem.accurate_valid],
        "cheap": [_label(f) for f in problem.cheap],
        "paired": [_label(f) for _, f in sorted(problem.paired_cheap.items())],
        "ladder": [[_label(f) for _, f in sorted(level.items())] for level in problem.ladder],
        "configurations": [[f.frame_id, f.temperature] for f in problem.configurations],
    }


def _label(frame: LabelledFrame) -> list[Any]:
    """Forces come with their energy, but may be lacking."""
    return [frame.frame_id, frame.energy] if frame.forces is not None else [frame.frame_id, frame.energy, "energy only"]


def determining_settings(
    settings: TrainingSettings, definition: StrategyDefinition, start: str | None = None
) -> dict[str, Any]:
    """Those settings that change the finished model of a strategy: others must not give it another name.

    A setting that some strategies name in ``reads`` counts for these alone; one that none of them names, for all.

    Args:
        settings: as :func:`settings_for` returns them.
        start: id of the model that the training goes on from.
    """
    read = definition.reads | (strategy_named(BASELINE).reads if definition.needs_teacher else frozenset())
    particular = frozenset().union(*(other.reads for other in all_strategies()))
    # The steps of scratch count as ``steps_alone``, which is derived from them.
    values = content(settings, exclude={"strategy", "device", "scratch_steps", *(particular - read)})
    values |= {name: getattr(settings, name) for name in sorted(read - type(settings).model_fields.keys())}
    if definition.needs_teacher and settings.teachers > 1:
        values["teacher_seeds"] = teacher_seeds(settings)
    if start is not None:
        values["start"] = start
    elif settings.foundation is not None:
        values["foundation"] = file_digest(settings.foundation)
    # What is started from has its own size; only a teacher is built.
    if (start is not None or settings.foundation is not None) and not definition.needs_teacher:
        values.pop("model")
    return values


def teacher_seeds(settings: TrainingSettings) -> list[int]:
    """Seeds of the teachers. The first has that of its student: it is the scratch model of a comparison.

    The others are drawn, so that no other seed of a comparison has them too. Counted up, the second teacher of seed 0
    would be the first of seed 1: seeds would not be independent, and two processes would train one model at once.
    """
    further = np.random.SeedSequence([settings.seed, 0x7EAC]).generate_state(settings.teachers - 1)
    return [settings.seed, *(int(seed >> 1) for seed in further)]


def settings_for(
    settings: TrainingSettings, definition: StrategyDefinition, start: str | None = None
) -> TrainingSettings:
    """The settings that a strategy trains with: a model to start from only where it starts from one.

    Args:
        start: id of a model of the store, which comes before any of the user's.

    Raises:
        InputError: when there is no such model and the strategy is to fine-tune it, or when it is not a file.
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
