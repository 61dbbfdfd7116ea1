"""A labelled file in the units of asteroid, and the conventions in which it was written.

:mod:`asteroid.exchange.reading` fills it; checks, matching and import read it.
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
"""eV"""

LENGTH_UNITS = {"Å": 1.0, "angstrom": 1.0, "bohr": units.BOHR}
"""Å"""


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """How the numbers of a file are meant, where the file does not say it itself.

    Args:
        energy_unit: one of :data:`ENERGY_UNITS`; forces are in this unit over ``length_unit``.
        length_unit: one of :data:`LENGTH_UNITS`.
        gradients: what the file calls forces is +dE/dR.
        charge: e; None for what the file says, else 0.
        multiplicity: 2S + 1; None for what the file says, else the lowest.
        energy_key, forces_key: of extxyz; None for ``REF_energy`` and ``REF_forces``, else ``energy`` and ``forces``.

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
        """eV"""
        return ENERGY_UNITS[self.energy_unit]

    @property
    def length_factor(self) -> float:
        """Å"""
        return LENGTH_UNITS[self.length_unit]

    @property
    def forces_factor(self) -> float:
        """eV/Å, with the sign that turns what the file holds into forces."""
        factor = self.energy_factor / self.length_factor
        return -factor if self.gradients else factor


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledFile:
    """The M labelled geometries of one molecule of N atoms that a file holds.

    Args:
        sha256: of the file's bytes.
        numbers: (N,) atomic numbers.
        positions: (M, N, 3) Å.
        energies: (M,) eV.
        forces: (M, N, 3) eV/Å, −dE/dR; NaN where there are none.
        has_forces: (M,) whether the file gives forces.
        charge: e.
        multiplicity: 2S + 1.
        splits: (M,) as the file says, None where it does not say.
        lines: (M,) in which a frame begins, of a text file.
        keys: which entries of the file were taken, in words.
        gradients: whether its forces were given as gradients.
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
        """A frame in words: its file, its number from 0 on, and its line."""
        return frame_place(self.path, index, self.lines)


def frame_place(path: Path, index: int, lines: tuple[int, ...] | None = None) -> str:
    """``FILE: frame 3 (line 24)``"""
    line = f" (line {lines[index]})" if lines is not None else ""
    return f"{path}: frame {index}{line}"
