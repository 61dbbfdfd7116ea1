"""A frame is dropped exactly when it is not the molecule any more."""

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.sampling.screening import Screen, highest_energy

from .conftest import rotated


def test_thermal_motion_passes(water: Configuration) -> None:
    screen = Screen.of(water)
    random = np.random.default_rng(0)
    for seed in range(100):
        # 0.05 Å for each coordinate is hotter than 600 K.
        shaken = water.with_positions(water.positions + 0.05 * random.standard_normal((3, 3)))
        assert screen.reason_to_drop(rotated(shaken, seed).positions) is None


@pytest.mark.parametrize(
    ("stretch", "reason"), [(0.5, "atoms too close"), (1.0, None), (1.4, None), (2.0, "bond broken")]
)
def test_a_bond_may_vibrate_but_not_break(water: Configuration, stretch: float, reason: str | None) -> None:
    positions = water.positions.copy()
    positions[1] = positions[0] + stretch * (positions[1] - positions[0])
    assert Screen.of(water).reason_to_drop(positions) == reason


def test_atoms_of_one_molecule_that_come_as_near_as_a_bond_are_a_new_one(water: Configuration) -> None:
    # 40° between the hydrogens: 0.66 Å.
    positions = np.array([[0, 0, 0], [0.96, 0, 0], [0.96 * np.cos(np.radians(40)), 0.96 * np.sin(np.radians(40)), 0]])
    assert Screen.of(water).reason_to_drop(positions) == "bond formed"


@pytest.mark.parametrize("atoms", [3, 4, 9])
def test_hardly_a_harmonic_geometry_of_a_small_or_larger_molecule_is_too_high_in_energy(atoms: int) -> None:
    # k_B T / 2 times the square of a normal variate for each vibration; k_B is 8.617e-5 eV/K.
    kt = 8.617e-5 * 900
    squares = np.random.default_rng(0).normal(size=(100_000, 3 * atoms - 6)) ** 2
    energies = 0.5 * kt * squares.sum(axis=1)
    assert (energies > highest_energy(atoms, 900.0)).mean() < 1e-4
    assert highest_energy(atoms, 900.0) < 1.5 * energies.max()
