"""Dynamics at the cheap level keeps its temperature, and the same seed gives the same frames."""

from itertools import islice

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.engines import Labeller
from asteroid.sampling.dynamics import trajectory
from asteroid.sampling.normal_modes import compute_hessian
from asteroid.units import BOLTZMANN

HOT = {"temperature": 400.0, "timestep": 0.5, "equilibration": 20.0, "interval": 5.0}


def test_the_same_seed_gives_the_same_frames(labeller: Labeller, water: Configuration) -> None:
    first, again, other = (
        np.array(list(islice(trajectory(labeller, water, **HOT, seed=seed), 3))) for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_frames_stay_about_their_centre_of_mass(labeller: Labeller, water: Configuration) -> None:
    for positions in islice(trajectory(labeller, water, **HOT, seed=5), 3):
        assert np.abs(water.with_positions(positions).to_atoms().get_center_of_mass()).max() < 1e-12


@pytest.mark.long
def test_a_bond_is_stretched_as_far_as_its_temperature_says(labeller: Labeller, hydrogen: Configuration) -> None:
    """Equipartition for H2, whose stiff bond is nearly harmonic: variance of its length is k_B T / k."""
    temperature = 300.0
    frames = islice(
        trajectory(
            labeller, hydrogen, temperature=temperature, timestep=0.5, equilibration=300, interval=10, seed=1
        ),
        150,
    )  # fmt: skip
    lengths = np.array([np.linalg.norm(positions[0] - positions[1]) for positions in frames])
    # Along z for a molecule turned to lie there: the force constant is the Hessian between the ends, along the bond.
    axis = hydrogen.positions[1] - hydrogen.positions[0]
    axis /= np.linalg.norm(axis)
    stiffness = -axis @ compute_hessian(labeller, hydrogen)[:3, 3:] @ axis
    # 1.5 ps hold some 30 independent energies (memory of 50 fs): a scatter of 26 %, taken twice.
    assert lengths.var() == pytest.approx(BOLTZMANN * temperature / stiffness, rel=0.5)
