"""Selection sees shapes, not names or places of atoms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid.configuration import Configuration
from asteroid.sampling.select import NEAR, near_copies, pick_diverse, sorted_distances

from .conftest import rotated

FORMALDEHYDE = Configuration(
    np.array([6, 8, 1, 1]), np.array([[0, 0, 0], [1.2, 0, 0], [-0.6, 0.93, 0.0], [-0.6, -0.93, 0.0]])
)


def shaken(count: int, seed: int = 0, width: float = 0.05) -> list[Configuration]:
    random = np.random.default_rng(seed)
    steps = width * random.standard_normal((count, 4, 3))
    return [FORMALDEHYDE.with_positions(FORMALDEHYDE.positions + step) for step in steps]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
def test_neither_turning_nor_exchanging_atoms_changes_the_distances(seed: int, order: list[int]) -> None:
    (original,) = shaken(1, seed)
    moved = rotated(original, seed)
    exchanged = Configuration(moved.numbers[order], moved.positions[order])
    assert sorted_distances([exchanged]) == pytest.approx(sorted_distances([original]), abs=1e-12)


def test_different_molecules_cannot_be_compared() -> None:
    water = Configuration(np.array([8, 1, 1]), np.eye(3))
    with pytest.raises(ValueError, match="composition"):
        sorted_distances([FORMALDEHYDE, water])


def test_nothing_is_picked_twice_and_copies_not_at_all() -> None:
    frames = shaken(5)
    copies = [*frames, *frames, rotated(frames[0], 1)]
    picks = pick_diverse(copies, 20, seed=0)
    distinct = pick_diverse(frames, 20, seed=0)
    assert len(distinct) == 5
    assert len(set(picks)) == len(picks)
    # The turned copy differs in the last bits only, and comes last if at all.
    assert len(picks) <= 6


def test_fewer_picks_are_a_prefix_of_more() -> None:
    frames = shaken(50)
    assert pick_diverse(frames, 20, seed=3)[:7] == pick_diverse(frames, 7, seed=3)


def test_picks_are_spread_wider_than_chance() -> None:
    frames = shaken(300)
    points = 1 / sorted_distances(frames)

    def closest(indices: list[int]) -> float:
        chosen = points[indices]
        return float(min(np.linalg.norm(chosen[i] - chosen[j]) for i in range(len(chosen)) for j in range(i)))

    by_chance = [closest(list(np.random.default_rng(seed).choice(300, 15, replace=False))) for seed in range(20)]
    assert closest(pick_diverse(frames, 15, seed=0)) > max(by_chance)


def test_what_is_there_already_is_kept_away_from() -> None:
    frames = shaken(30)
    stretched = FORMALDEHYDE.positions.copy()
    stretched[1, 0] += 0.4
    outlier = FORMALDEHYDE.with_positions(stretched)
    assert pick_diverse([*frames, outlier], 1, seed=0, already=[FORMALDEHYDE]) == [30]
    assert pick_diverse([*frames, outlier], 1, seed=0, already=[FORMALDEHYDE, outlier]) != [30]


def test_picking_none_of_none_is_nothing() -> None:
    assert pick_diverse([], 5, seed=0) == []
    assert pick_diverse(shaken(3), 0, seed=0) == []


def test_near_copies_are_found_whatever_was_turned_or_exchanged() -> None:
    frames = shaken(20)
    random = np.random.default_rng(1)
    others = shaken(200, seed=9)
    for index in (4, 11):
        # No coordinate moves by more than a fifth of the limit, so no distance does by more than 2√3/5 of it.
        near = frames[index].positions + NEAR / 5 * random.uniform(-1, 1, (4, 3))
        swapped = rotated(frames[index].with_positions(near[[0, 1, 3, 2]]), index)
        others.append(swapped)
    expected = np.isin(np.arange(20), [4, 11])
    assert np.array_equal(near_copies(sorted_distances(frames), sorted_distances(others)), expected)
    assert not near_copies(sorted_distances(frames), np.empty((0, 6))).any()
