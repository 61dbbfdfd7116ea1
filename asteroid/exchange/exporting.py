"""Writes a molecule's accepted labels at one level for other programs.

``extxyz`` is what ASE reads: ``energy`` and ``forces``. ``mace`` is what ``mace_run_train`` takes as it is: one file a
split with ``REF_energy`` and ``REF_forces``. ``parquet`` is one flat table with units. Every number is written so that
it reads back to the last bit, and :mod:`asteroid.exchange.reading` reads all three.
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
    """One file that was written.

    Args:
        labels: in it.
        energy_only: how many of these have no forces.
    """

    file: Path
    labels: int
    energy_only: int


Labelled = tuple[Frame, Attempt]


def export_labels(
    store: Store, molecule: str, level: LevelOfTheory, *, format: str, out: Path, split: str | None = None
) -> list[Exported]:
    """Write the accepted labels of a molecule at a level, in the order of the store's frames.

    Args:
        format: one of :data:`EXPORT_FORMATS`.
        out: the file to write; for ``mace`` a folder. What is there is replaced.
        split: frames of this one alone.

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
    """One file a split. The energies are total: without isolated atoms, MACE takes ``--E0s average``."""

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
    """Frames as extended xyz; ``repr`` of a float is the shortest text that reads back to the same bits."""
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
"""Columns of an exported table, units in the metadata of each."""


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
"""(where to, what, molecule, level) -> files with what is in each."""


def _write(path: Path, data: bytes) -> None:
    """A file that appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(f"--out: cannot write '{path}' ({os.strerror(error.errno or 0)})") from None
