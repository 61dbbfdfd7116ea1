"""The training set of a model: labelled training, held-out and test frames of its molecules.

:mod:`asteroid.stages.models` makes it from the store. It is stored (:func:`write_training_set`), and the model's card
refers to it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

import pyarrow as pa

from asteroid.levels import LevelOfTheory
from asteroid.naming import digest
from asteroid.store import Store, paths, tables

SCHEMA = pa.schema(
    [
        pa.field("molecule", pa.string()),
        pa.field("frame_id", pa.string(), metadata={"unit": "hash"}),
        pa.field("level", pa.string(), metadata={"unit": "level of theory of the label"}),
        pa.field("role", pa.string(), metadata={"unit": "of the level: accurate, cheap or between"}),
        pa.field("split", pa.string(), metadata={"unit": "train, valid, calibration or test"}),
        pa.field("energy", pa.float64(), metadata={"unit": "eV, total; identifies the label of the frame"}),
        pa.field("has_forces", pa.bool_()),
    ]
)
"""Without weights: ``weighted`` computes them during training, and its card has them."""


@dataclass(frozen=True)
class TrainingFrames:
    """Ids of labelled frames of one molecule.

    Args:
        train: accurate labels for training.
        valid: accurate labels held out for early stopping and the choice between models.
        test: accurate labels for testing only.
        cheap: cheap labels for training.
        calibration: accurate labels held out for calibrating uncertainties; empty where there are too few, or no
            rounds.
        elements: atomic numbers in these frames.
    """

    train: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    cheap: tuple[str, ...] = ()
    calibration: tuple[str, ...] = ()
    elements: tuple[int, ...] = ()

    @property
    def held_out(self) -> tuple[str, ...]:
        return (*self.valid, *self.calibration)

    @property
    def unused(self) -> tuple[str, ...]:
        """Held-out frames for calibration and round errors: not those of early stopping, if possible."""
        return self.calibration or self.valid


@dataclass(frozen=True)
class TrainingSet:
    """Frames and levels that a model learns from.

    Args:
        cheap, accurate: levels of the labels.
        molecules: frames by molecule, sorted by name.
        between: levels between cheap and accurate, the lowest first.
    """

    cheap: LevelOfTheory
    accurate: LevelOfTheory
    molecules: Mapping[str, TrainingFrames]
    between: tuple[LevelOfTheory, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "molecules", dict(sorted(self.molecules.items())))

    @classmethod
    def of_molecule(
        cls,
        molecule: str,
        *,
        cheap: LevelOfTheory,
        accurate: LevelOfTheory,
        train: Iterable[str],
        valid: Iterable[str],
        cheap_frames: Iterable[str] = (),
        between: tuple[LevelOfTheory, ...] = (),
    ) -> Self:
        """A training set of one molecule."""
        frames = TrainingFrames(tuple(train), tuple(valid), cheap=tuple(cheap_frames))
        return cls(cheap, accurate, {molecule: frames}, between)

    @property
    def train_ids(self) -> list[str]:
        """Training frames with accurate labels, of all molecules."""
        return [i for frames in self.molecules.values() for i in frames.train]

    @property
    def valid_ids(self) -> list[str]:
        """Held-out frames for early stopping, of all molecules."""
        return [i for frames in self.molecules.values() for i in frames.valid]

    def table(self, store: Store) -> pa.Table:
        """One row per label, as :data:`SCHEMA`."""
        rows = [row for name, frames in self.molecules.items() for row in self._rows(store, name, frames)]
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def _rows(self, store: Store, molecule: str, frames: TrainingFrames) -> Iterator[dict[str, object]]:
        accurate = {split: getattr(frames, split) for split in ("train", "valid", "calibration", "test")}
        yield from _labelled(store, molecule, self.accurate, "accurate", accurate)
        # Cheap labels of held-out frames only measure the bias and the correction.
        cheap = {"train": (*frames.cheap, *frames.train), "valid": frames.valid}
        yield from _labelled(store, molecule, self.cheap, "cheap", cheap)
        for level in self.between:
            yield from _labelled(store, molecule, level, "between", {"train": cheap["train"]})


def _labelled(
    store: Store, molecule: str, level: LevelOfTheory, role: str, splits: Mapping[str, tuple[str, ...]]
) -> Iterator[dict[str, object]]:
    labels = store.labels(molecule, level)
    for split, ids in splits.items():
        for frame_id in sorted({*ids} & labels.keys()):
            label = labels[frame_id]
            yield {
                "molecule": molecule,
                "frame_id": frame_id,
                "level": str(level),
                "role": role,
                "split": split,
                "energy": label.energy,
                "has_forces": label.forces is not None,
            }


def write_training_set(store: Store, model: str, data: TrainingSet) -> str:
    """Store a training set under the hash of its rows, and return the hash."""
    table = data.table(store)
    name = digest(table.to_pylist())
    path = paths.training_set(model, name)
    if not store.exists(path):
        tables.write(store, path, table)
    return name
