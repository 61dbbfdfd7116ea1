"""Small molecules at the cheap level, shared by the tests of sampling."""

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.engines import Labeller, make_labeller
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.processes import single_thread_environment
from asteroid.sampling.conformers import find_conformers

# Before tblite is loaded: with several threads its sums, and so trajectories, differ from run to run in the last bits.
single_thread_environment()


@pytest.fixture(scope="session")
def labeller() -> Labeller:
    return make_labeller(LevelOfTheory.parse("gfn2-xtb"))


@pytest.fixture(scope="session")
def water(labeller: Labeller) -> Configuration:
    """Water at its minimum."""
    return find_conformers(MoleculeSettings(name="water", smiles="O"), labeller)[0][0]


@pytest.fixture(scope="session")
def hydrogen(labeller: Labeller) -> Configuration:
    """H2 at its minimum: the smallest linear molecule."""
    return find_conformers(MoleculeSettings(name="hydrogen", smiles="[H][H]"), labeller)[0][0]


def rotated(configuration: Configuration, seed: int) -> Configuration:
    """The same geometry turned and moved at random."""
    random = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(random.standard_normal((3, 3)))
    return configuration.with_positions(configuration.positions @ turn.T + random.standard_normal(3))
