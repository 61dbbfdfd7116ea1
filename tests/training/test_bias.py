import math

import numpy as np
import pytest

from asteroid.training.bias import (
    bias_weights,
    choose_weights,
    effective_sample_size,
    frame_disagreement,
    gamma_candidates,
)

from .conftest import Labels


def test_broken_cheap_labels_get_lower_weights_than_all_others(water: Labels) -> None:
    cheap = [np.array(f.forces) for f in water.cheap]
    for broken in (3, 11):
        cheap[broken] = cheap[broken] + 5.0
    disagreement = frame_disagreement(cheap, [f.forces for f in water.accurate])
    weights = bias_weights(disagreement, gamma=1.0)
    whole = np.delete(weights, [3, 11])
    assert weights[[3, 11]].max() < 0.1 * whole.min()


def test_weights_follow_the_formula_of_the_paper_up_to_their_mean() -> None:
    disagreement = np.array([0.1, 0.2, 0.5])
    formula = np.exp(-disagreement / 0.3)
    np.testing.assert_allclose(bias_weights(disagreement, 0.3), formula / formula.mean(), rtol=1e-12)


@pytest.mark.parametrize("gamma", [1e-300, 1e-12, 1e-3, 1.0, 1e12, math.inf])
def test_weights_are_finite_and_of_mean_one_for_every_gamma(gamma: float) -> None:
    with np.errstate(over="ignore"):
        weights = bias_weights(np.array([900.0, 901.0, 950.0]), gamma)
    assert np.isfinite(weights).all()
    assert weights.mean() == pytest.approx(1.0, rel=1e-12)


def test_effective_sample_size_is_the_count_for_equal_weights_and_one_for_a_single_one() -> None:
    assert effective_sample_size(np.ones(7)) == pytest.approx(7)
    assert effective_sample_size(np.array([0.0, 0.0, 4.0])) == pytest.approx(1)


def test_the_candidate_with_the_lowest_held_out_error_is_chosen() -> None:
    disagreement = np.linspace(0.1, 0.5, 50)
    candidates = gamma_candidates(disagreement)
    assert candidates == sorted(candidates)
    assert candidates[-1] == math.inf
    errors = {0: 0.3, 1: 0.1, 2: 0.2, 3: 0.4}
    chosen = choose_weights(disagreement, None, lambda index, weights: errors[index])
    assert chosen.gamma == candidates[1]
    assert chosen.candidates == [(g, errors[i]) for i, g in enumerate(candidates)]


def test_trials_that_cannot_tell_leave_all_weights_equal() -> None:
    assert choose_weights(np.linspace(0.1, 0.5, 50), None, lambda index, weights: 0.0).gamma == math.inf


def test_equal_disagreement_leaves_only_equal_weights_to_choose() -> None:
    assert gamma_candidates(np.full(5, 0.3)) == [math.inf]


def test_a_given_gamma_costs_no_trial() -> None:
    chosen = choose_weights(np.array([0.0, 0.1]), 0.1)
    assert chosen.gamma == 0.1
    assert chosen.candidates == []
