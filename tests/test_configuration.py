"""Configurations are checked once, and their ids depend on exactly what they hold."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asteroid.configuration import Configuration, check_multiplicity

POSITIONS = hnp.arrays(np.float64, (3, 3), elements=st.floats(-100, 100))
WATER = np.array([8, 1, 1])


@given(POSITIONS)
def test_the_same_positions_have_the_same_id(positions: np.ndarray) -> None:
    assert Configuration(WATER, positions).frame_id == Configuration(WATER, positions.copy()).frame_id
    negated_zeros = np.where(positions == 0, -0.0, positions)
    assert Configuration(WATER, positions).frame_id == Configuration(WATER, negated_zeros).frame_id


@given(POSITIONS, st.integers(0, 8))
def test_the_smallest_change_of_a_position_changes_the_id(positions: np.ndarray, index: int) -> None:
    changed = positions.copy()
    changed.flat[index] = np.nextafter(changed.flat[index], np.inf)
    assume(changed.flat[index] != positions.flat[index])
    assert Configuration(WATER, positions).frame_id != Configuration(WATER, changed).frame_id


def test_charge_multiplicity_and_elements_are_part_of_the_id() -> None:
    positions = np.eye(3)
    ids = {
        Configuration(WATER, positions).frame_id,
        Configuration(WATER, positions, 2, 1).frame_id,
        Configuration(WATER, positions, 0, 3).frame_id,
        Configuration(np.array([16, 1, 1]), positions).frame_id,
    }
    assert len(ids) == 4


@settings(max_examples=200)
@given(st.integers(1, 200), st.integers(-3, 250))
def test_multiplicity_is_possible_exactly_when_the_unpaired_electrons_fit(electrons: int, multiplicity: int) -> None:
    unpaired = multiplicity - 1
    possible = 0 <= unpaired <= electrons and (electrons - unpaired) % 2 == 0
    if possible:
        check_multiplicity(electrons, multiplicity)
    else:
        with pytest.raises(ValueError, match="impossible"):
            check_multiplicity(electrons, multiplicity)


@pytest.mark.parametrize(
    ("numbers", "positions", "message"),
    [
        ([], np.empty((0, 3)), "numbers have shape"),
        ([8, 1], np.zeros((3, 3)), "positions have shape"),
        ([8, 1, 1], np.full((3, 3), np.nan), "not finite"),
        ([0, 1, 1], np.zeros((3, 3)), "1 to 86"),
        ([87, 1, 1], np.zeros((3, 3)), "1 to 86"),
    ],
)
def test_what_is_no_molecule_is_refused(numbers: list[int], positions: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Configuration(np.array(numbers), positions)


def test_a_charge_beyond_the_electrons_is_refused() -> None:
    with pytest.raises(ValueError, match="write a smaller charge"):
        Configuration(np.array([1, 1]), np.eye(3)[:2], charge=2)


def test_arrays_cannot_change_afterwards() -> None:
    source = np.eye(3)
    water = Configuration(WATER, source)
    source[0, 0] = 5.0
    assert water.positions[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        water.positions[0, 0] = 2.0


@pytest.mark.parametrize(
    ("numbers", "formula"), [([6, 1, 1, 8], "CH2O"), ([8, 1, 1], "H2O"), ([17, 11], "ClNa"), ([6, 17, 1], "CHCl")]
)
def test_formulas_follow_hill(numbers: list[int], formula: str) -> None:
    positions = np.arange(3 * len(numbers)).reshape(-1, 3)
    lowest = 1 + sum(numbers) % 2
    assert Configuration(np.array(numbers), positions, 0, lowest).formula == formula


def test_a_configuration_survives_the_way_through_ase() -> None:
    hydronium = Configuration(np.array([8, 1, 1, 1]), np.arange(12.0).reshape(4, 3), 1, 1)
    back = Configuration.from_atoms(hydronium.to_atoms(), charge=1)
    assert back.frame_id == hydronium.frame_id
