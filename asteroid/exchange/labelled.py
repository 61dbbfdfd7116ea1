"""A labelled file in eV and Å, and the conventions of its numbers.

Made by :mod:`asteroid.exchange.reading`; used by checks, matching and import.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asteroid import units
from asteroid.configuration import Split
from asteroid.errors import InputError, suggest

Floats = npt.NDArray[np.float64]

ENERGY_UNITS = {
    "eV": 1.0,
    "hartree": units.HARTREE,
    "kcal/mol": units.KILOCALORIE_PER_MOLE,
    "kJ/mol": units.KILOJOULE_PER_MOLE,
}
"""Energy units in eV."""

LENGTH_UNITS = {"Å": 1.0, "angstrom": 1.0, "bohr": units.BOHR}
"""Length units in Å."""


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """Units and conventions of a file, where the file does not define them.

    Args:
        energy_unit: one of :data:`ENERGY_UNITS`; forces are in this unit over ``length_unit``.
        length_unit: one of :data:`LENGTH_UNITS`.
        gradients: whether the forces of the file are gradients, +dE/dR.
        charge: e; None for the file's, or 0.
        multiplicity: 2S + 1; None for the file's, or the lowest.
        energy_key, forces_key: of extxyz; None for ``REF_energy`` and ``REF_forces``, or ``energy`` and ``forces``.

    Raises:
        InputError: for an unknown unit.
    """

    energy_unit: str = "eV"
    length_unit: str = "Å"
    gradients: bool = False
    charge: int | None = None
    multiplicity: int | None = None
    energy_key: str | None = None
    forces_key: str | None = None

    def __post_init__(self) -> None:
        for option, found, valid in (
            ("--energy-unit", self.energy_unit, ENERGY_UNITS),
            ("--length-unit", self.length_unit, LENGTH_UNITS),
        ):
            if found not in valid:
                raise InputError(f"{option}: found '{found}'; {suggest(found, valid)}")

    @property
    def energy_factor(self) -> float:
        """Energy unit in eV."""
        return ENERGY_UNITS[self.energy_unit]

    @property
    def length_factor(self) -> float:
        """Length unit in Å."""
        return LENGTH_UNITS[self.length_unit]

    @property
    def forces_factor(self) -> float:
        """Unit of the file's forces in eV/Å; negative for gradients."""
        factor = self.energy_factor / self.length_factor
        return -factor if self.gradients else factor


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledFile:
    """M labelled geometries of one molecule of N atoms, from a file.

    Args:
        sha256: of the file.
        numbers: (N,) atomic numbers.
        positions: (M, N, 3) Å.
        energies: (M,) eV.
        forces: (M, N, 3) eV/Å, −dE/dR; NaN where there are none.
        has_forces: (M,) whether the file gives forces.
        charge: e.
        multiplicity: 2S + 1.
        splits: (M,), None where the file has none.
        lines: (M,) first line of each frame, in a text file.
        keys: entries of the file that were read, in words.
        gradients: whether the file has gradients.
    """

    path: Path
    sha256: str
    numbers: npt.NDArray[np.int64]
    positions: Floats
    energies: Floats
    forces: Floats
    has_forces: npt.NDArray[np.bool_]
    charge: int
    multiplicity: int
    splits: tuple[Split, ...] | None
    lines: tuple[int, ...] | None
    keys: str
    gradients: bool

    def __len__(self) -> int:
        return len(self.energies)

    def where(self, index: int) -> str:
        """Place of a frame: file, number from 0, and line."""
        return frame_place(self.path, index, self.lines)


def frame_place(path: Path, index: int, lines: tuple[int, ...] | None = None) -> str:
    """``FILE: frame 3 (line 24)``"""
    line = f" (line {lines[index]})" if lines is not None else ""
    return f"{path}: frame {index}{line}"
