from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest

from asteroid.acquisition.criteria import CRITERIA, Pool, pick
from asteroid.settings import Criterion

Floats = npt.NDArray[np.float64]


def pool(count: int = 200, known: int = 5, seed: int = 0) -> Pool:
    random = np.random.default_rng(seed)
    return Pool(
        random.normal(size=(count, 6)),
        random.gamma(2.0, 0.05, size=count),
        random.gamma(2.0, 0.2, size=count),
        random.normal(size=(known, 6)),
    )


def clusters(uncertainty: Floats) -> Pool:
    """Four tight clusters of 25 candidates each, at the corners of a square."""
    random = np.random.default_rng(3)
    corners = np.repeat([[0.0, 0.0], [0.0, 10.0], [10.0, 0.0], [10.0, 10.0]], 25, axis=0)
    return Pool(corners + random.normal(scale=0.1, size=(100, 2)), uncertainty, None, np.zeros((0, 2)))


def test_every_criterion_of_the_settings_is_in_the_registry() -> None:
    assert set(CRITERIA) == set(get_args(Criterion))


@pytest.mark.parametrize("criterion", get_args(Criterion))
def test_picks_are_different_candidates_and_begin_with_those_of_a_smaller_batch(criterion: Criterion) -> None:
    picks = pick(criterion, pool(), 20, seed=1)
    assert len(set(picks)) == 20
    assert set(picks) <= set(range(200))
    assert pick(criterion, pool(), 7, seed=1) == picks[:7]


@pytest.mark.parametrize("criterion", get_args(Criterion))
def test_a_pool_smaller_than_the_batch_is_picked_whole(criterion: Criterion) -> None:
    assert sorted(pick(criterion, pool(count=6), 20, seed=0)) == list(range(6))
    assert pick(criterion, pool(), 0, seed=0) == []


@pytest.mark.parametrize("criterion", get_args(Criterion))
def test_copies_of_one_frame_are_no_obstacle(criterion: Criterion) -> None:
    copies = Pool(np.ones((8, 3)), np.full(8, 0.1), np.full(8, 0.1), np.ones((2, 3)))
    assert len(set(pick(criterion, copies, 5, seed=0))) == 5


def test_random_picks_follow_the_seed_and_nothing_else() -> None:
    assert pick("random", pool(seed=0), 9, seed=4) == pick("random", pool(seed=1), 9, seed=4)
    assert pick("random", pool(), 9, seed=4) != pick("random", pool(), 9, seed=5)


def test_committee_and_bias_pick_the_largest_values() -> None:
    found = pool()
    assert found.uncertainty is not None
    assert found.bias is not None
    assert pick("committee", found, 3, seed=0) == np.argsort(-found.uncertainty)[:3].tolist()
    assert pick("bias", found, 3, seed=0) == np.argsort(-found.bias)[:3].tolist()


def test_diverse_picks_stay_away_from_what_is_known() -> None:
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    three_known = Pool(corners + 0.01, None, None, corners[:3])
    assert pick("diverse", three_known, 1, seed=0) == [3]


def test_diverse_does_not_depend_on_the_scale_of_a_descriptor() -> None:
    found = pool()
    scaled = Pool(found.descriptors * [1, 10, 1e3, 1e-3, 1, 1], None, None, found.known * [1, 10, 1e3, 1e-3, 1, 1])
    assert pick("diverse", scaled, 10, seed=0) == pick("diverse", found, 10, seed=0)


def test_an_uncertain_batch_is_spread_over_the_clusters_where_top_k_is_not() -> None:
    uncertainty = np.repeat([0.40, 0.38, 0.36, 0.34], 25)
    found = clusters(uncertainty)
    assert {i // 25 for i in pick("committee", found, 4, seed=0)} == {0}
    assert {i // 25 for i in pick("committee+diverse", found, 4, seed=0)} == {0, 1, 2, 3}


def test_an_uncertain_batch_leaves_out_what_is_different_but_certain() -> None:
    uncertainty = np.repeat([0.4, 0.4, 0.4, 1e-6], 25)
    assert {i // 25 for i in pick("committee+diverse", clusters(uncertainty), 3, seed=0)} == {0, 1, 2}


@pytest.mark.parametrize("criterion", ["committee", "bias", "committee+diverse"])
def test_a_criterion_without_what_it_looks_at_says_so(criterion: Criterion) -> None:
    bare = Pool(np.zeros((3, 2)), None, None, np.zeros((0, 2)))
    with pytest.raises(ValueError, match="needs the"):
        pick(criterion, bare, 1, seed=0)


def test_a_pool_of_arrays_that_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"known descriptors of shape \(2, 4\); expected \(K, 3\)"):
        Pool(np.zeros((5, 3)), None, None, np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"uncertainty of shape \(4,\); expected \(5,\)"):
        Pool(np.zeros((5, 3)), np.zeros(4), None, np.zeros((0, 3)))
    with pytest.raises(ValueError, match="finite"):
        Pool(np.zeros((2, 3)), np.array([0.1, np.nan]), None, np.zeros((0, 3)))
