"""Finds the stored frame that a geometry of a file is, so that labels of two levels meet on one frame.

Equal means: the same atoms in the same order, and no coordinate farther away than a tolerance. Nothing is turned or
shifted, because forces belong to an orientation. Where two frames could be meant, none is taken.
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
"""Å. Published coordinates are rounded at 1e-5 to 1e-8 Å; the nearest of 4001 formaldehydes are 1e-3 Å apart."""


class KnownFrames:
    """Frames of one molecule: those of the store, then those of the files that were read before.

    Args:
        configurations: all of the same atoms in the same order.
        splits: of each.
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
        """Raise InputError when the file is about another molecule, or one with its atoms in another order."""
        if not self.configurations:
            return
        first = self.configurations[0]
        found = describe(file.numbers, file.charge, file.multiplicity)
        if found != (there := describe(first.numbers, first.charge, first.multiplicity)):
            raise InputError(f"{file.path}: is {found}, where the store has {there}; write another --molecule")

    def match(
        self, configurations: Mapping[int, Configuration], tolerance: float
    ) -> tuple[dict[int, str], dict[int, str]]:
        """For each row its frame's id where there is one, and the rows that are ambiguous with the reason.

        Args:
            configurations: by row of a file, no two of them equal to the last bit.
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
    """Atoms in their order, charge and multiplicity: what all frames of a molecule share."""
    return f"{' '.join(SYMBOLS[z] for z in numbers)} of charge {charge} and multiplicity {multiplicity}"


def _points(configurations: Sequence[Configuration]) -> Floats:
    """(M, 3N) Å"""
    points: npt.NDArray[np.float64] = np.array([c.positions.ravel() for c in configurations])
    return points
