"""Write the labels of a molecule at one level for other programs.

``extxyz`` is for ASE: ``energy`` and ``forces``. ``mace`` is for ``mace_run_train``: one file per split with
``REF_energy`` and ``REF_forces``. ``parquet`` is one flat table with units. All numbers read back bitwise equal, and
:mod:`asteroid.exchange.reading` reads all three.
"""

import contextlib
import io
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from asteroid.configuration import SPLITS, Frame, Split
from asteroid.errors import InputError, suggest
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.rows import FRAME_SCHEMA, LABEL_SCHEMA, Attempt


@dataclass(frozen=True)
class Exported:
    """One written file.

    Args:
        labels: number of labels.
        energy_only: number of these without forces.
    """

    file: Path
    labels: int
    energy_only: int


Labelled = tuple[Frame, Attempt]


def export_labels(
    store: Store, molecule: str, level: LevelOfTheory, *, format: str, out: Path, split: str | None = None
) -> list[Exported]:
    """Write the labels of a molecule at a level, in the order of frames in the store.

    Args:
        format: one of :data:`EXPORT_FORMATS`.
        out: file to write; for ``mace`` a folder. Existing files are replaced.
        split: only frames of this split.

    Raises:
        InputError: when the store has no such labels, or the file cannot be written.
    """
    if format not in EXPORT_FORMATS:
        raise InputError(f"--format: found '{format}'; {suggest(format, EXPORT_FORMATS)}")
    if split is not None and split not in SPLITS:
        raise InputError(f"--split: found '{split}'; {suggest(split, SPLITS)}")
    there = store.molecules()
    if molecule not in there:
        raise InputError(f"--molecule: the store has no '{molecule}'; {suggest(molecule, there)}")
    levels = store.levels(molecule)
    if level not in levels:
        raise InputError(f"--level: '{molecule}' has no labels at '{level}'; {suggest(str(level), map(str, levels))}")
    labels = store.labels(molecule, level)
    pairs = [(f, labels[f.frame_id]) for f in store.frames(molecule) if f.frame_id in labels]
    chosen = [(frame, label) for frame, label in pairs if split in (None, frame.split)]
    if not chosen:
        what = f" on {split} frames" if split else ""
        raise InputError(f"'{molecule}' has no accepted labels at '{level}'{what}; label it, or import some")
    written = []
    for file, part, data in EXPORT_FORMATS[format](out, chosen, molecule, level):
        _write(file, data)
        written.append(Exported(file, len(part), sum(label.forces is None for _, label in part)))
    return written


Part = tuple[Path, list[Labelled], bytes]


def _extxyz(out: Path, labelled: list[Labelled], molecule: str, level: LevelOfTheory) -> Iterator[Part]:
    def information(frame: Frame, label: Attempt) -> dict[str, str]:
        configuration = frame.configuration
        return {
            "energy": repr(label.energy),
            "charge": str(configuration.charge),
            "spin": str(configuration.multiplicity),
            "split": frame.split,
            "level_of_theory": f'"{level}"',
            "frame_id": f'"{frame.frame_id}"',
        }

    yield out, labelled, _text(labelled, "forces", information)


def _mace(out: Path, labelled: list[Labelled], molecule: str, level: LevelOfTheory) -> Iterator[Part]:
    """One file per split. Energies are total and there are no isolated atoms, so MACE needs ``--E0s average``."""

    def information(frame: Frame, label: Attempt) -> dict[str, str]:
        configuration = frame.configuration
        return {
            "REF_energy": repr(label.energy),
            "total_charge": str(configuration.charge),
            "total_spin": str(configuration.multiplicity),
            "config_type": f'"{frame.origin.method}"',
            "split": frame.split,
            "level_of_theory": f'"{level}"',
        }

    by_split: dict[Split, list[Labelled]] = {}
    for frame, label in labelled:
        by_split.setdefault(frame.split, []).append((frame, label))
    for split, part in by_split.items():
        yield out / f"{split}.xyz", part, _text(part, "REF_forces", information)


def _text(
    labelled: Iterable[Labelled], forces_name: str, information: Callable[[Frame, Attempt], Mapping[str, str]]
) -> bytes:
    """Frames as extended xyz; ``repr`` of a float reads back bitwise equal."""
    lines = []
    for frame, label in labelled:
        configuration = frame.configuration
        rows = [configuration.positions.tolist()]
        properties = "species:S:1:pos:R:3"
        if label.forces is not None:
            rows.append(label.forces.tolist())
            properties += f":{forces_name}:R:3"
        entries = " ".join(f"{key}={value}" for key, value in information(frame, label).items())
        lines.append(f'{len(configuration.numbers)}\nProperties={properties} {entries} pbc="F F F"\n')
        for symbol, *vectors in zip(configuration.symbols, *rows, strict=True):
            lines.append(" ".join([symbol, *(repr(x) for vector in vectors for x in vector)]) + "\n")
    return "".join(lines).encode()


_FRAME_COLUMNS: Final = ("frame_id", "numbers", "positions", "charge", "multiplicity", "split", "group")
_LABEL_COLUMNS: Final = ("energy", "forces", "program", "version")

EXPORT_SCHEMA: Final = pa.schema(
    [
        pa.field("molecule", pa.string()),
        pa.field("level", pa.string()),
        *(FRAME_SCHEMA.field(name) for name in _FRAME_COLUMNS),
        FRAME_SCHEMA.field("origin"),
        *(LABEL_SCHEMA.field(name) for name in _LABEL_COLUMNS),
    ]
)
"""Columns of an exported table, with units in their metadata."""


def _parquet(out: Path, labelled: list[Labelled], molecule: str, level: LevelOfTheory) -> Iterator[Part]:
    rows = [
        {
            "molecule": molecule,
            "level": str(level),
            "frame_id": frame.frame_id,
            "numbers": frame.configuration.numbers,
            "positions": frame.configuration.positions.ravel(),
            "charge": frame.configuration.charge,
            "multiplicity": frame.configuration.multiplicity,
            "split": frame.split,
            "group": frame.group,
            "origin": frame.origin.method,
            "energy": label.energy,
            "forces": None if label.forces is None else label.forces.ravel(),
            "program": label.program,
            "version": label.version,
        }
        for frame, label in labelled
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=EXPORT_SCHEMA), buffer, compression="zstd")
    yield out, labelled, buffer.getvalue()


EXPORT_FORMATS: dict[str, Callable[[Path, list[Labelled], str, LevelOfTheory], Iterator[Part]]] = {
    "extxyz": _extxyz,
    "mace": _mace,
    "parquet": _parquet,
}
"""(out, labelled frames, molecule, level) -> files, each with its frames and content."""


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(f"--out: cannot write '{path}' ({os.strerror(error.errno or 0)})") from None
