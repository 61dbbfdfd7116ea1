"""Read a labelled file of any format as arrays of one molecule, in eV and Å.

:mod:`asteroid.exchange.formats` reads each format; :mod:`asteroid.exchange.plan` checks the labels.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.geometry_files import whole_number
from asteroid.configuration import SPLITS, SYMBOLS, Configuration, Split
from asteroid.errors import InputError
from asteroid.exchange.formats import READERS, Content, refuse
from asteroid.exchange.labelled import Conventions, LabelledFile
from asteroid.levels import LevelOfTheory
from asteroid.problems import printable


def read_labelled(path: Path, conventions: Conventions, level: LevelOfTheory) -> LabelledFile:
    """Read one file.

    Args:
        level: of the labels; a file that names another one is refused.

    Raises:
        InputError: with up to :data:`MOST_PROBLEMS` lines, when the file is absent, cannot be read or is inconsistent.
        MissingDependencyError: if ASE, which reads extxyz, is not installed.
    """
    if not str(path).isprintable():
        raise InputError(f"{printable(str(path))}: its name has characters that cannot be printed; rename it")
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise InputError(f"{path}: files are known by their ending; write one of: {', '.join(sorted(READERS))}")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write the path of a labelled extxyz, npz or Parquet file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    content = read(path, data, conventions)
    if not len(content.energies):
        raise InputError(f"{path}: holds no frames; write at least one")
    return _assemble(path, hashlib.sha256(data).hexdigest(), content, conventions, level)


def _assemble(
    path: Path, sha256: str, content: Content, conventions: Conventions, level: LevelOfTheory
) -> LabelledFile:
    """Frames of one molecule as arrays in eV and Å; raises InputError where they are inconsistent."""
    _check_shapes(path, content)
    for found in _distinct(content.levels):
        if str(found) != str(level):
            shown = printable(str(found))
            raise InputError(f"{path}: holds labels at '{shown}', not at '{level}'; write --level '{shown}'")
    numbers = np.asarray(content.numbers[0], dtype=np.int64)
    charge = _one(path, "charge", content.charges, conventions.charge, 0)
    lowest = 1 + int(numbers.sum() - charge) % 2
    multiplicity = _one(path, "multiplicity", content.multiplicities, conventions.multiplicity, lowest)
    try:
        Configuration(numbers, np.zeros((len(numbers), 3)), charge, multiplicity)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    forces = np.full((len(content.energies), len(numbers), 3), np.nan)
    has_forces = np.array([force is not None for force in content.forces])
    if has_forces.any():
        forces[has_forces] = np.array([f for f in content.forces if f is not None], dtype=np.float64)
    with np.errstate(over="ignore"):  # infinities are found by the checks
        return LabelledFile(
            path=path,
            sha256=sha256,
            numbers=numbers,
            positions=np.array(content.positions, dtype=np.float64) * conventions.length_factor,
            energies=np.array(content.energies, dtype=np.float64) * conventions.energy_factor,
            forces=forces * conventions.forces_factor,
            has_forces=has_forces,
            charge=charge,
            multiplicity=multiplicity,
            splits=_splits(path, content.splits),
            lines=content.lines,
            keys=content.keys,
            gradients=conventions.gradients,
        )


def _check_shapes(path: Path, content: Content) -> None:
    """Raise InputError unless all frames have the same atoms, with positions and forces of matching shape."""
    first = np.asarray(content.numbers[0])
    refuse(path, content, _shape_problems(first, content))


def _shape_problems(first: npt.NDArray[Any], content: Content) -> Iterable[tuple[int, str]]:
    if first.ndim != 1 or not first.size or not set(first.tolist()) <= set(range(1, len(SYMBOLS))):
        yield 0, f"atomic numbers must be a list of numbers from 1 to {len(SYMBOLS) - 1}"
        return
    shape = (len(first), 3)
    for index, (numbers, positions, forces) in enumerate(
        zip(content.numbers, content.positions, content.forces, strict=True)
    ):
        if not np.array_equal(numbers, first):
            yield index, f"has the atoms {_symbols(numbers)}, the first frame {_symbols(first)}; write one molecule"
        elif positions.shape != shape:
            yield index, f"positions have shape {positions.shape}, expected {shape}"
        elif forces is not None and forces.shape != shape:
            yield index, f"forces have shape {forces.shape}, expected {shape}"


def _symbols(numbers: npt.NDArray[Any]) -> str:
    names = " ".join(SYMBOLS[int(z)] if 0 <= z < len(SYMBOLS) else str(z) for z in np.ravel(numbers)[:20])
    return names + (" …" if np.size(numbers) > 20 else "")


def _distinct(values: Sequence[Any]) -> list[Any]:
    return list({str(value): value for value in values if value is not None}.values())


def _one(path: Path, name: str, found: Sequence[Any], given: int | None, default: int) -> int:
    """An integer that all frames share: from the file, from the command line, or the default.

    A given value must agree with the file; it only replaces values that are not integers, such as sums of partial
    charges.
    """
    values = _distinct(found)
    numbers = {whole_number(value) for value in values}
    if None in numbers and given is None:
        shown = ", ".join(printable(str(value)) for value in values[:3])
        unit = " (in e)" if name == "charge" else ""
        raise InputError(f"{path}: {name}: found {shown}; write --{name} with one whole number{unit} for all frames")
    whole = sorted(number for number in numbers if number is not None)
    if len(whole) > 1:
        shown = ", ".join(map(str, whole[:3]))
        raise InputError(f"{path}: {name}: found {shown}; write one file for each {name}")
    if whole and given not in (None, whole[0]):
        raise InputError(
            f"{path}: --{name}: found {given}, but the file says {whole[0]}; write {whole[0]}, or correct the file"
        )
    if given is not None:
        return given
    return whole[0] if whole else default


def _splits(path: Path, found: Sequence[Any]) -> tuple[Split, ...] | None:
    values = _distinct(found)
    if not values:
        return None
    if None in found or any(value not in SPLITS for value in values):
        shown = ", ".join(printable(str(value)) for value in values[:3])
        raise InputError(f"{path}: split: found {shown}; write {', '.join(SPLITS)} for every frame or for none")
    return tuple(found)
