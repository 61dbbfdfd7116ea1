"""Read geometry files with ASE: frames, charge and multiplicity.

The charge of a frame is its entry ``charge`` or ``total_charge``, its multiplicity (2S + 1) ``spin``, ``multiplicity``
or ``total_spin``, as asteroid, MACE and other potentials under ASE write them. Charges and magnetic moments of atoms
are not read, as their sums need not be integers. A file's values are used where none are given, and must agree with
given ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from asteroid.chemistry.geometry_checks import reason_to_refuse
from asteroid.chemistry.structures import MOST_ATOMS, check_numbers
from asteroid.configuration import Configuration, check_multiplicity
from asteroid.errors import InputError, MissingDependencyError
from asteroid.problems import printable

CHARGE_KEYS: Final = ("charge", "total_charge")
MULTIPLICITY_KEYS: Final = ("spin", "multiplicity", "total_spin")

MOST_BYTES: Final = 100 * 2**20
"""Largest size of a geometry file, unpacked: a thousand frames of a thousand atoms."""

MOST_STRUCTURES: Final = 200
"""Largest number of starting structures of one molecule; each is optimised at the cheap level."""


def read_structures(path: Path, *, charge: int | None = None, multiplicity: int | None = None) -> list[Configuration]:
    """Structures of one molecule, one per frame of a file.

    Args:
        charge: e; None for the file's, or 0.
        multiplicity: 2S + 1; None for the file's, or the lowest.

    Raises:
        InputError: when the file is absent, not readable, periodic, holds different molecules or none, or contradicts
            the given charge or multiplicity.
        MissingDependencyError: if ASE is not installed.
    """
    frames = read_frames(path)
    if len(frames) > MOST_STRUCTURES:
        raise InputError(f"found '{path}', which has {len(frames)} frames; write at most {MOST_STRUCTURES} structures")
    first = frames[0]
    check_numbers([int(z) for z in first.numbers], f"'{path}'")
    structures: list[Configuration] = []
    for index, atoms in enumerate(frames):
        frame = f"frame {index}: " if len(frames) > 1 else ""
        if not np.array_equal(atoms.numbers, first.numbers):
            raise InputError(
                f"found '{path}', whose frame {index} is {atoms.get_chemical_formula()} with other atoms or in another "
                f"order than frame 0 ({first.get_chemical_formula()}); write one file for each molecule"
            )
        if reason := reason_to_refuse(atoms.numbers, atoms.positions):
            raise InputError(f"found '{path}', {frame and f'frame {index}, '}{reason}")
        try:
            structures.append(configuration_of(atoms, charge=charge, multiplicity=multiplicity))
        except InputError as error:
            raise InputError(f"found '{path}': {frame}{error}") from None
        one, other = structures[0], structures[-1]
        if (one.charge, one.multiplicity) != (other.charge, other.multiplicity):
            raise InputError(
                f"found '{path}', whose frame {index} has charge {other.charge} and multiplicity {other.multiplicity}, "
                f"frame 0 {one.charge} and {one.multiplicity}; write one file for each"
            )
    return structures


def configuration_of(atoms: Any, *, charge: int | None = None, multiplicity: int | None = None) -> Configuration:
    """Configuration of ASE atoms, with their charge and multiplicity or the given ones.

    Raises:
        InputError: for entries that contradict each other or the given values, or are impossible.
    """
    carried = carried_by(atoms.info)
    charge = _agreed("charge", carried.charge, charge)
    charge = 0 if charge is None else charge
    multiplicity = _agreed("multiplicity", carried.multiplicity, multiplicity)
    electrons = int(atoms.numbers.sum()) - charge
    if electrons < 1:
        raise InputError(f"a charge of {charge} leaves no electrons; write a smaller one (in e)")
    if multiplicity is None:
        multiplicity = 1 + electrons % 2
    try:
        check_multiplicity(electrons, multiplicity)
        return Configuration.from_atoms(atoms, charge=charge, multiplicity=multiplicity)
    except ValueError as error:
        raise InputError(str(error)) from None


@dataclass(frozen=True)
class Carried:
    """Charge (e) and multiplicity (2S + 1) in the entries of a frame; None where absent."""

    charge: int | None
    multiplicity: int | None


def carried_by(info: Mapping[str, Any]) -> Carried:
    """Charge and multiplicity in the entries of a frame.

    Raises:
        InputError: for a value that is not an integer, and for two entries that differ.

    >>> carried_by({"charge": 1, "spin": 2})
    Carried(charge=1, multiplicity=2)
    """
    multiplicity = _entry(info, MULTIPLICITY_KEYS)
    if multiplicity is not None and multiplicity < 1:
        raise InputError(f"the file's multiplicity is {multiplicity}; write 2S + 1 there, 1 or more")
    return Carried(_entry(info, CHARGE_KEYS), multiplicity)


def entries_of(info: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """The entries of a frame with these keys."""
    return {key: info[key] for key in keys if info.get(key) is not None}


def whole_number(value: Any) -> int | None:
    """A value of a file as a whole number, None where it is none.

    >>> whole_number("-1"), whole_number(1.0), whole_number(0.3)
    (-1, 1, None)
    """
    try:
        number = np.nan if isinstance(value, bool | np.bool_) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() and abs(number) <= 1000 else None


def _entry(info: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    found = {key: (value, whole_number(value)) for key, value in entries_of(info, keys).items()}
    for key, (value, number) in found.items():
        if number is None:
            raise InputError(f"{key}: found {printable(str(value))} in the file; write a whole number there")
    if len({number for _, number in found.values()}) > 1:
        both = " and ".join(f"{key} {number}" for key, (_, number) in found.items())
        raise InputError(f"found {both} in the file; write one of them there")
    return next((number for _, number in found.values()), None)


def _agreed(name: str, carried: int | None, given: int | None) -> int | None:
    if carried is not None and given is not None and carried != given:
        raise InputError(f"{name}: found {given}, but the file says {carried}; write {carried}, or correct the file")
    return carried if given is None else given


def read_frames(path: Path) -> list[Any]:
    """All frames of a file as ASE atoms.

    Raises:
        InputError: when the file is absent, empty, too large, not readable, or periodic.
        MissingDependencyError: if ASE is not installed.
    """
    if not path.is_file():
        raise InputError(f"found '{path}', where there is no file; write the path of a geometry that ASE reads")
    try:
        import ase.io
    except ImportError:
        raise MissingDependencyError("ase", "label") from None

    _check_size(path)
    try:
        frames = ase.io.read(path, index=":", do_not_split_by_at_sign=True)
    # ASE's eighty readers raise anything on a broken file.
    except Exception as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"found '{path}', which ASE cannot read ({reason}); write a file such as an .xyz") from None
    if not frames:
        raise InputError(f"found '{path}', which holds no frames; write at least one")
    if any(any(atoms.pbc) for atoms in frames):
        raise InputError(f"found '{path}', which is periodic; write a geometry of a molecule without a cell")
    return list(frames)


def _check_size(path: Path) -> None:
    """Raise InputError for a file that ASE would read for minutes: too large, or with fewer atoms than announced."""
    from ase.io.formats import open_with_compression

    try:
        with open_with_compression(str(path), "rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    # Broken archives raise anything.
    except Exception as error:
        raise InputError(f"found '{path}', which cannot be read ({' '.join(str(error).split())[:100]})") from None
    if len(data) > MOST_BYTES:
        raise InputError(f"found '{path}', which is larger than {MOST_BYTES // 2**20} MiB; write a smaller file")
    if {".xyz", ".extxyz"} & set(path.suffixes):
        try:
            frame_lines(data.decode(errors="replace"), most_atoms=MOST_ATOMS)
        except InputError as error:
            raise InputError(f"found '{path}', {error}") from None


def frame_lines(text: str, *, most_atoms: int | None = None) -> tuple[int, ...]:
    """Line numbers, from 1, at which the frames of an xyz file begin: number of atoms, comment, atoms.

    ASE would look for all announced lines, however many.

    Args:
        most_atoms: of a frame.

    Raises:
        InputError: for the first frame that is malformed or too large.
    """
    rows = text.rstrip().split("\n") if text.strip() else []
    starts = []
    row = 0
    while row < len(rows):
        count = rows[row].strip()
        if not (count.isascii() and count.isdecimal()) or int(count) < 1:
            found = printable(count) or "an empty line"
            raise InputError(f"line {row + 1}: found {found}; write the number of atoms of a frame")
        if most_atoms is not None and int(count) > most_atoms:
            raise InputError(
                f"line {row + 1}: found {printable(count)} atoms; write a molecule of at most {most_atoms}"
            )
        starts.append(row + 1)
        row += 2 + int(count)
        if row > len(rows):
            raise InputError(f"line {starts[-1]}: the frame has fewer than its {printable(count)} atoms")
    return tuple(starts)
