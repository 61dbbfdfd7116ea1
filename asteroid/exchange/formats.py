"""Read labelled files of each format, in their own units: extxyz, npz with the keys N, Z, R, E, F, and Parquet.

Files are not trusted: pickles are not loaded and types are checked; every problem is one line with its place.
:mod:`asteroid.exchange.reading` converts the content to arrays of one molecule.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.geometry_files import CHARGE_KEYS, MULTIPLICITY_KEYS, entries_of, frame_lines, whole_number
from asteroid.errors import InputError, MissingDependencyError
from asteroid.exchange.labelled import Conventions, Floats, frame_place
from asteroid.problems import printable

MOST_PROBLEMS: Final = 5
"""Largest number of problems shown for one file."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Content:
    """Content of a file in its own units, one entry per frame.

    Args:
        numbers: (N,) atomic numbers of each frame.
        forces: (N, 3) of each frame; None for a frame without forces.
        charges, multiplicities, splits, levels: empty where the file has none.
    """

    numbers: Sequence[npt.NDArray[Any]]
    positions: Sequence[npt.NDArray[Any]]
    energies: Sequence[float]
    forces: Sequence[npt.NDArray[Any] | None]
    charges: Sequence[Any] = ()
    multiplicities: Sequence[Any] = ()
    splits: Sequence[Any] = ()
    levels: Sequence[Any] = ()
    lines: tuple[int, ...] | None = None
    keys: str


def refuse(path: Path, content: Content, problems: Iterable[tuple[int, str]]) -> None:
    """Raise InputError if there are problems, each with the number of its frame."""
    found = [f"{frame_place(path, index, content.lines)}: {problem}" for index, problem in problems]
    if found:
        raise InputError(shortened(found))


def shortened(problems: Sequence[str]) -> list[str]:
    """The first few problems, and the number of further ones."""
    more = len(problems) - MOST_PROBLEMS
    return [*problems[:MOST_PROBLEMS], *([f"and {more} more such problems"] if more > 0 else [])]


# -- npz -------------------------------------------------------------------------------------------------------------


def _read_npz(path: Path, data: bytes, conventions: Conventions) -> Content:
    """Keys Z (M, A) or (A,), R (M, A, 3), E (M,), and optionally N (M,), F (M, A, 3), Q (M,).

    Frames are padded with zeros to A atoms; N is the number of atoms.
    """
    arrays = _npz_arrays(path, data)
    if missing := [key for key in "ZRE" if key not in arrays]:
        raise InputError(f"{path}: no {', '.join(missing)} among its keys; write Z, R and E, and N, F and Q")
    for key, array in arrays.items():
        if array.dtype.kind not in "iuf":
            raise InputError(f"{path}: {key} is of type {array.dtype}; write numbers")
    positions, energies = arrays["R"], arrays["E"].ravel()
    count = len(energies)
    if positions.ndim != 3 or len(positions) != count or positions.shape[2] != 3:
        raise InputError(f"{path}: R has shape {positions.shape} for {count} energies; write ({count}, atoms, 3)")
    size = positions.shape[1]
    numbers = _broadcast(path, "Z", arrays["Z"], (count, size))
    atoms = _broadcast(path, "N", arrays["N"].ravel(), (count,)) if "N" in arrays else (numbers > 0).sum(axis=1)
    is_atom = np.arange(size) < atoms[:, None]
    if (wrong := np.flatnonzero(((numbers > 0) != is_atom).any(axis=1))).size:
        i = int(wrong[0])
        raise InputError(f"{frame_place(path, i)}: N says {atoms[i]} atoms where Z is {numbers[i].tolist()[:20]}")
    forces = arrays.get("F")
    if forces is not None and forces.shape != positions.shape:
        raise InputError(f"{path}: F has shape {forces.shape}, R has {positions.shape}; write the same")
    each = [int(n) for n in atoms]
    return Content(
        numbers=[z[:n] for z, n in zip(numbers, each, strict=True)],
        positions=[r[:n] for r, n in zip(positions, each, strict=True)],
        energies=energies,  # type: ignore[arg-type]  # an array is a sequence of its numbers
        forces=[None] * count if forces is None else [f[:n] for f, n in zip(forces, each, strict=True)],
        charges=arrays["Q"].ravel().tolist() if "Q" in arrays else (),
        keys="E" if forces is None else "E and F",
    )


def _npz_arrays(path: Path, data: bytes) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {key: archive[key] for key in ("N", "Z", "R", "E", "F", "Q") if key in archive.files}
    # Broken archives raise anything, and NumPy would advise to load pickles.
    except Exception:
        raise InputError(
            f"{path}: not an npz archive of plain arrays, or cut short; write one with numpy.savez and keys Z, R, E, F"
        ) from None


def _broadcast(path: Path, key: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Integers, one row for all frames or one per frame."""
    if array.shape not in (shape, shape[1:], (1, *shape[1:])):
        raise InputError(f"{path}: {key} has shape {array.shape}; write {shape}")
    wide = array.astype(np.float64)
    if not (np.isfinite(wide) & (np.abs(wide) < 1e6) & (wide == np.round(wide))).all():
        raise InputError(f"{path}: {key} holds values that are not whole numbers")
    return np.broadcast_to(array, shape).astype(np.int64)


# -- extxyz ----------------------------------------------------------------------------------------------------------

_KEYS: Final = (("REF_energy", "REF_forces"), ("energy", "forces"))


def _read_extxyz(path: Path, data: bytes, conventions: Conventions) -> Content:
    """Energies from the comment lines, forces from columns; charge and multiplicity as in
    :mod:`asteroid.chemistry.geometry_files`, also ``split`` and ``level_of_theory``."""
    text = _decode(path, data)
    try:
        lines = frame_lines(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    frames = _ase_frames(path, text)
    if len(frames) != len(lines):
        raise InputError(f"{path}: ASE reads {len(frames)} frames, but the file has {len(lines)}")
    energy_key, forces_key = _choose_keys(frames[0] if frames else None, conventions)
    energies, problems = [], []
    for index, atoms in enumerate(frames):
        energy = _number(_entry(atoms, energy_key, atoms.info))
        if energy is None:
            problems.append((index, f"has no number as '{energy_key}'; write --energy-key with the one it has"))
        elif any(atoms.pbc):
            problems.append((index, 'is periodic; write a molecule with pbc="F F F"'))
        energies.append(np.nan if energy is None else energy)
        for keys in (CHARGE_KEYS, MULTIPLICITY_KEYS):
            found = entries_of(atoms.info, keys)
            if len({str(whole_number(value) or value) for value in found.values()}) > 1:
                both = " and ".join(f"{key} {printable(str(value))}" for key, value in found.items())
                problems.append((index, f"says {both}; write one of them"))
    forces = [_entry(atoms, forces_key, atoms.arrays) for atoms in frames]
    if conventions.forces_key and all(force is None for force in forces):
        problems.append((0, f"has no column '{conventions.forces_key}'; write --forces-key with the one it has"))
    content = Content(
        numbers=[atoms.numbers for atoms in frames],
        positions=[atoms.positions for atoms in frames],
        energies=energies,
        forces=[None if force is None else np.asarray(force) for force in forces],
        charges=[next(iter(entries_of(atoms.info, CHARGE_KEYS).values()), None) for atoms in frames],
        multiplicities=[next(iter(entries_of(atoms.info, MULTIPLICITY_KEYS).values()), None) for atoms in frames],
        splits=[atoms.info.get("split") for atoms in frames],
        levels=[atoms.info.get("level_of_theory") for atoms in frames],
        lines=lines,
        keys=energy_key + (f" and {forces_key}" if any(force is not None for force in forces) else ""),
    )
    for index, force in enumerate(content.forces):
        if force is not None and force.dtype.kind not in "iuf":
            problems.append((index, f"has no numbers in the column '{forces_key}'"))
    refuse(path, content, problems)
    return content


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: line {line}: not UTF-8 text") from None


def _ase_frames(path: Path, text: str) -> list[Any]:
    try:
        import ase.io
    except ImportError:
        raise MissingDependencyError("ase", "label") from None
    try:
        return list(ase.io.iread(io.StringIO(text), index=":", format="extxyz"))
    # ASE's reader raises anything on a broken file.
    except Exception as error:
        raise InputError(f"{path}: ASE cannot read it as extxyz ({_one_line(error)})") from None


def _choose_keys(first: Any, conventions: Conventions) -> tuple[str, str]:
    """Keys of energy and forces, from one pair: two pairs may be two levels of theory."""
    there = [pair for pair in _KEYS if first is not None and _entry(first, pair[0], first.info) is not None]
    energy_key, forces_key = there[0] if there else _KEYS[-1]
    return conventions.energy_key or energy_key, conventions.forces_key or forces_key


def _entry(atoms: Any, key: str, where: Any) -> Any:
    """An entry of a frame; ASE moves known keys to the results of a calculator."""
    results = atoms.calc.results if atoms.calc is not None else {}
    found = where.get(key)
    return results.get(key) if found is None else found


def _number(value: Any) -> float | None:
    if isinstance(value, bool | np.bool_ | str) or np.ndim(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


# -- Parquet ---------------------------------------------------------------------------------------------------------


def _read_parquet(path: Path, data: bytes, conventions: Conventions) -> Content:
    """Columns ``numbers``, ``positions`` and ``energy``, and optionally ``forces``, ``charge``, ``multiplicity``,
    ``split`` and ``level``; positions and forces are flat or nested lists."""
    columns = _parquet_columns(path, data)
    needed = ("numbers", "positions", "energy")
    if missing := [name for name in needed if name not in columns]:
        raise InputError(f"{path}: no column {', '.join(missing)}; write {', '.join(needed)} and forces")
    count = len(columns["energy"])
    problems: list[tuple[int, str]] = []

    def vectors(name: str) -> list[Any]:
        found = []
        for index, value in enumerate(columns[name]):
            array = _array(value)
            if array is None and not (name == "forces" and value is None):
                problems.append((index, f"{name}: found {printable(str(value))}; write a list of numbers"))
            found.append(array)
        return found

    numbers, positions = vectors("numbers"), vectors("positions")
    forces = vectors("forces") if "forces" in columns else [None] * count
    energies = [_number(value) for value in columns["energy"]]
    problems += [(index, "has no number as its energy") for index, energy in enumerate(energies) if energy is None]
    if problems:
        raise InputError(shortened([f"{frame_place(path, index)}: {problem}" for index, problem in problems]))
    return Content(
        numbers=numbers,
        positions=[_by_threes(array) for array in positions],
        energies=[energy for energy in energies if energy is not None],
        forces=[None if array is None else _by_threes(array) for array in forces],
        charges=columns.get("charge", ()),
        multiplicities=columns.get("multiplicity", ()),
        splits=columns.get("split", ()),
        levels=columns.get("level", ()),
        keys="energy" + (" and forces" if any(force is not None for force in forces) else ""),
    )


def _parquet_columns(path: Path, data: bytes) -> dict[str, list[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = ("numbers", "positions", "energy", "forces", "charge", "multiplicity", "split", "level")
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        there = [name for name in wanted if name in file.schema_arrow.names]
        table = file.read(columns=there)
        return {name: table[name].to_pylist() for name in there}
    # Arrow raises anything on a broken file.
    except Exception as error:
        raise InputError(f"{path}: not a Parquet file that Arrow can read ({_one_line(error)})") from None


def _array(value: Any) -> Floats | None:
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "iuf" and array.ndim else None


def _by_threes(array: Floats) -> Floats:
    return array.reshape(-1, 3) if array.ndim == 1 and array.size % 3 == 0 else array


def _one_line(error: Exception) -> str:
    """The message of an error on one short line."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    return " ".join(text.split())[:150] or type(error).__name__


READERS: dict[str, Callable[[Path, bytes, Conventions], Content]] = {
    ".npz": _read_npz,
    ".xyz": _read_extxyz,
    ".extxyz": _read_extxyz,
    ".parquet": _read_parquet,
}
"""(path, bytes, conventions) -> content, by file extension."""
