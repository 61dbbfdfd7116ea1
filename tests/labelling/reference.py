"""Molecules of the labelling tests, and the published labels that they are compared with."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from asteroid.configuration import Configuration
from asteroid.labelling import make_labeller
from asteroid.levels import LevelOfTheory

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

# Distorted on purpose: no symmetry plane, no bond along an axis, so that no wrong term can cancel.
FORMALDEHYDE = Configuration([6, 8, 1, 1], [[0, 0, 0], [0.1, 0.2, 1.21], [0.16, 0.93, -0.58], [-0.11, -0.95, -0.56]])
WATER = Configuration([8, 1, 1], [[0, 0, 0], [0.9, 0.16, 0.26], [-0.48, 0.93, 0.11]])
PEROXYL = Configuration([8, 8, 1], [[0, 0, 0], [1.27, 0.26, 0.11], [-0.32, 0.93, 0.16]], multiplicity=2)
CATION = Configuration(FORMALDEHYDE.numbers, FORMALDEHYDE.positions, charge=1, multiplicity=2)
NITROGEN = Configuration([7, 7], [[0, 0, 0], [0, 0, 2.5]])
"""Stretched so far that CCSD does not converge in a minimal basis."""


def level(text: str) -> LevelOfTheory:
    return LevelOfTheory.parse(text)


def reference_file(path: str) -> Path:
    """A file of the reference data, or a skipped test."""
    found = DATA / path
    if not found.exists():
        pytest.skip(f"reference data are not here: {found}")
    return found


def force_error(text: str, configuration: Configuration, *, engine: str | None = None, step: float = 2e-3) -> float:
    """Difference of −F·d and the fourth-order finite difference of E along a random unit direction d, eV/Å."""
    labeller = make_labeller(level(text), engine)
    forces = labeller.compute(configuration).forces
    assert forces is not None

    def energy(displacement: npt.NDArray[np.float64]) -> float:
        moved = configuration.with_positions(configuration.positions + displacement)
        return labeller.compute(moved, forces=False).energy

    d = np.random.default_rng(1).normal(size=forces.shape)
    d *= step / np.linalg.norm(d)
    slope = (8 * (energy(d) - energy(-d)) - (energy(2 * d) - energy(-2 * d))) / (12 * step)
    return abs(slope + float((forces * d).sum()) / step)
