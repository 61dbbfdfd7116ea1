"""Write the labels of a molecule at one level for other programs.

``extxyz`` is for ASE: ``energy`` and ``forces``. ``mace`` is for ``mace_run_train``: one file per split with
``REF_energy`` and ``REF_forces``. ``parquet`` is one flat table with units; it and the formats for archives
(``qcschema``, ``asedb``, ``huggingface``) are in :mod:`asteroid.exchange.published`. All numbers read back bitwise
equal, except for those of QCSchema, which are in atomic units.
"""

import contextlib
import functools
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asteroid.configuration import SPLITS, Frame, Split
from asteroid.errors import InputError, suggest
from asteroid.exchange.published import Labelled, Part, ase_database, hugging_face, parquet, qcschema
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.rows import Attempt


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


def export_labels(
    store: Store,
    molecule: str,
    level: LevelOfTheory,
    *,
    format: str,
    out: Path,
    split: str | None = None,
    license: str | None = None,
) -> list[Exported]:
    """Write the labels of a molecule at a level, in the order of frames in the store.

    Args:
        format: one of :data:`EXPORT_FORMATS`.
        out: file to write; for ``mace`` and ``huggingface`` a folder. Existing files are replaced.
        split: only frames of this split.
        license: for the card of ``huggingface``; unknown if None.

    Raises:
        InputError: when the store has no such labels, or the file cannot be written.
    """
    if format not in EXPORT_FORMATS:
        raise InputError(f"--format: found '{format}'; {suggest(format, EXPORT_FORMATS)}")
    if license is not None and format != "huggingface":
        raise InputError(f"--license: --format {format} has no place for it; leave it out, or write huggingface")
    if license is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", license):
        raise InputError(f"--license: found '{license}'; write an identifier such as mit or cc-by-4.0")
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
    write = EXPORT_FORMATS[format]
    if license is not None:
        write = functools.partial(hugging_face, license=license.lower())
    for file, part, data in write(out, chosen, molecule, level):
        _write(file, data)
        if not part:
            continue
        written.append(Exported(file, len(part), sum(label.forces is None for _, label in part)))
    return written


def _extxyz(out: Path, labelled: Sequence[Labelled], molecule: str, level: LevelOfTheory) -> Iterator[Part]:
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


def _mace(out: Path, labelled: Sequence[Labelled], molecule: str, level: LevelOfTheory) -> Iterator[Part]:
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


EXPORT_FORMATS: dict[str, Callable[[Path, Sequence[Labelled], str, LevelOfTheory], Iterator[Part]]] = {
    "extxyz": _extxyz,
    "mace": _mace,
    "parquet": parquet,
    "qcschema": qcschema,
    "asedb": ase_database,
    "huggingface": hugging_face,
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
