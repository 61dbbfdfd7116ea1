"""Match geometries of a file to stored frames, so that labels of two levels belong to the same frame.

Frames match if they have the same atoms in the same order and all coordinates agree within a tolerance. Geometries are
not rotated or shifted, because forces depend on the orientation. A geometry near two frames is an error.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from asteroid.configuration import SYMBOLS, Configuration, Split
from asteroid.errors import InputError
from asteroid.exchange.labelled import Floats, LabelledFile
from asteroid.store import Store

TOLERANCE: Final = 1e-4
"""Å. Published coordinates are rounded to 1e-5 to 1e-8 Å; the nearest of 4001 formaldehyde frames differ by 1e-3 Å."""


class KnownFrames:
    """Frames of one molecule: those of the store, then those of earlier files.

    Args:
        configurations: with the same atoms in the same order.
        splits: of each configuration.
    """

    def __init__(self, configurations: Sequence[Configuration], splits: Sequence[Split]) -> None:
        self.configurations: list[Configuration] = []
        self.splits: dict[str, Split] = {}
        self.add(configurations, splits)

    @classmethod
    def of(cls, store: Store, molecule: str) -> "KnownFrames":
        frames = store.frames(molecule)
        return cls([frame.configuration for frame in frames], [frame.split for frame in frames])

    def add(self, configurations: Sequence[Configuration], splits: Sequence[Split]) -> None:
        self.configurations += configurations
        self.splits |= {c.frame_id: split for c, split in zip(configurations, splits, strict=True)}

    def check_atoms(self, file: LabelledFile) -> None:
        """Raise InputError when the file has other atoms, or another order of atoms."""
        if not self.configurations:
            return
        first = self.configurations[0]
        found = describe(file.numbers, file.charge, file.multiplicity)
        if found != (there := describe(first.numbers, first.charge, first.multiplicity)):
            raise InputError(f"{file.path}: is {found}, but the store has {there}; write another --molecule")

    def match(
        self, configurations: Mapping[int, Configuration], tolerance: float
    ) -> tuple[dict[int, str], dict[int, str]]:
        """Frame ids of matching rows, and reasons of ambiguous rows, both by row.

        Args:
            configurations: by row of a file, without duplicates.
            tolerance: Å, for each coordinate.
        """
        found = {row: c.frame_id for row, c in configurations.items() if c.frame_id in self.splits}
        rest = [row for row in configurations if row not in found]
        problems: dict[int, str] = {}
        if not rest or not self.configurations:
            return found, problems
        tree = cKDTree(_points(self.configurations))
        points = _points([configurations[row] for row in rest])
        distances, nearest = tree.query(points, k=2, p=np.inf, distance_upper_bound=tolerance)
        taken = {frame_id: row for row, frame_id in found.items()}
        for row, distance, (first, second) in zip(rest, distances, nearest, strict=True):
            if not np.isfinite(distance[0]):
                continue
            frame_id = self.configurations[first].frame_id
            if np.isfinite(distance[1]):
                two = f"{frame_id} and {self.configurations[second].frame_id}"
                problems[row] = f"two stored frames, {two}, are within {tolerance:g} Å; write a smaller --tolerance"
            elif frame_id in taken:
                problems[row] = (
                    f"is within {tolerance:g} Å of the stored frame {frame_id}, as frame {taken[frame_id]} is; "
                    "write a smaller --tolerance"
                )
            else:
                found[row] = frame_id
                taken[frame_id] = row
        return found, problems


def describe(numbers: Iterable[int], charge: int, multiplicity: int) -> str:
    """Atoms in order, charge and multiplicity, in words."""
    return f"{' '.join(SYMBOLS[z] for z in numbers)} of charge {charge} and multiplicity {multiplicity}"


def _points(configurations: Sequence[Configuration]) -> Floats:
    """(M, 3N) Å, positions."""
    points: npt.NDArray[np.float64] = np.array([c.positions.ravel() for c in configurations])
    return points
