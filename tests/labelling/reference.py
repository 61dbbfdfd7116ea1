"""Molecules of the labelling tests, and the published labels that they are compared with."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from asteroid.configuration import Configuration
from asteroid.engines import Labeller, make_labeller
from asteroid.labelling.attempt import label_table
from asteroid.labelling.wire import configurations_to_table
from asteroid.levels import LevelOfTheory
from asteroid.store.rows import Attempt, table_to_attempts
from asteroid.units import BOHR

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

# Distorted on purpose: no symmetry plane, no bond along an axis, so that no wrong term can cancel.
FORMALDEHYDE = Configuration([6, 8, 1, 1], [[0, 0, 0], [0.1, 0.2, 1.21], [0.16, 0.93, -0.58], [-0.11, -0.95, -0.56]])
WATER = Configuration([8, 1, 1], [[0, 0, 0], [0.9, 0.16, 0.26], [-0.48, 0.93, 0.11]])
PEROXYL = Configuration([8, 8, 1], [[0, 0, 0], [1.27, 0.26, 0.11], [-0.32, 0.93, 0.16]], multiplicity=2)
CATION = Configuration(FORMALDEHYDE.numbers, FORMALDEHYDE.positions, charge=1, multiplicity=2)
WATER_CATION = Configuration(WATER.numbers, WATER.positions, charge=1, multiplicity=2)
HYDROXIDE = Configuration([8, 1], [[0, 0, 0], [0.31, 0.45, 0.82]], charge=-1)
HYPOIODOUS = Configuration([53, 8, 1], [[0, 0, 0], [1.9, 0.4, 0.3], [2.3, -0.3, 0.8]])
"""Hypoiodous acid: iodine has an effective core potential."""
HYDROGEN_IODIDE = Configuration([53, 1], [[0, 0, 0], [0.8, 0.9, 1.1]])
IODOMETHYL = Configuration([6, 53, 1, 1], [[0, 0, 0], [2.1, 0.1, 0.2], [-0.5, 0.95, 0.1], [-0.55, -0.9, -0.3]], 0, 2)
NITROGEN = Configuration([7, 7], [[0, 0, 0], [0, 0, 2.5]])
"""Stretched so far that CCSD does not converge in a minimal basis."""

MINDLESS = Configuration(
    [1, 1, 6, 5, 1, 15, 8, 17, 13, 15, 5, 1, 9, 15, 1, 15],
    BOHR
    * np.array(
        [
            [2.79274810283778, 3.82998228828316, -2.79287054959216],
            [-1.43447454186833, 0.43418729987882, 5.53854345129809],
            [-3.26268343665218, -2.50644032426151, -1.56631149351046],
            [2.14548759959147, -0.88798018953965, -2.24592534506187],
            [-4.30233097423181, -3.93631518670031, -0.48930754109119],
            [0.06107643564880, -3.82467931731366, -2.22333344469482],
            [0.41168550401858, 0.58105573172764, 5.56854609916143],
            [4.41363836635653, 3.92515871809283, 2.57961724984000],
            [1.33707758998700, 1.40194471661647, 1.97530004949523],
            [3.08342709834868, 1.72520024666801, -4.42666116106828],
            [-3.02346932078505, 0.04438199934191, -0.27636197425010],
            [1.11508390868455, -0.97617412809198, 6.25462847718180],
            [0.61938955433011, 2.17903547389232, -6.21279842416963],
            [-2.67491681346835, 3.00175899761859, 1.05038813614845],
            [-4.13181080289514, -2.34226739863660, -3.44356159392859],
            [2.85007173009739, -2.64884892757600, 0.71010806424206],
        ]
    ),
)
"""Sixteen atoms in no chemical order: the example of tblite's documentation and of xtb-python's tests."""


def level(text: str) -> LevelOfTheory:
    return LevelOfTheory.parse(text)


def attempt(labeller: Labeller, configuration: Configuration, *, forces: bool = True) -> Attempt:
    """One label, computed and audited as a worker does it."""
    (found,) = table_to_attempts(label_table(labeller, configurations_to_table([configuration]), forces=forces))
    return found


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
