"""Diagnostics of made-up labels whose bias is known, against the formulas and against scipy."""

import datetime as dt
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.levels import LevelOfTheory
from asteroid.store import Store, records
from asteroid.store.models import Candidate, CardFrames, Weights
from asteroid.store.rows import Attempt
from asteroid.training.bias import bias_weights, effective_sample_size
from asteroid.training.diagnostics import bias_diagnostics, correlation
from asteroid.training.disagreement import force_disagreement_by_element, global_scale
from asteroid.training.predict import predict
from asteroid.training.run import load_model
from tests.cards import bare_card
from tests.training.conftest import ACCURATE as ACCURATE_WATER
from tests.training.conftest import CHEAP as CHEAP_WATER
from tests.training.conftest import fill, tiny_settings, train_model

CHEAP, ACCURATE = LevelOfTheory.parse("gfn2-xtb"), LevelOfTheory.parse("mp2/cc-pvdz")
FRAMES, LABELS = 60, 10


class World:
    """Waters whose cheap forces on oxygen are off by a known amount in each frame, and on hydrogen by none."""

    def __init__(self, store: Store) -> None:
        rng = np.random.default_rng(0)
        self.store = store
        bent = np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])
        geometries = [Configuration([8, 1, 1], bent + rng.normal(0, 0.05, (3, 3))) for _ in range(FRAMES)]
        frames = [Frame(c, Origin("md"), "g", "train" if k < 50 else "test") for k, c in enumerate(geometries)]
        self.ids = [frame.frame_id for frame in frames]
        self.off = np.linspace(0.1, 0.4, FRAMES)
        self.accurate = {i: rng.normal(0, 1, (3, 3)) for i in self.ids}
        self.cheap = {
            i: f + off * np.array([[3], [0], [0]]) for (i, f), off in zip(self.accurate.items(), self.off, strict=True)
        }
        store.add_frames("water", frames, batch="all")
        for level, forces, energies in (
            (CHEAP, self.cheap, np.zeros(FRAMES)),
            (ACCURATE, self.accurate, np.linspace(-100.0, -99.0, FRAMES)),
        ):
            now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
            attempts = [
                Attempt(frame_id=i, status="ok", energy=float(e), forces=forces[i], time=now)
                for i, e in zip(self.ids, energies, strict=True)
            ]
            store.add_attempts("water", level, attempts)
        records.write(store, "models/water/teacher/card.json", bare_card(model_id="teacher", valid_force_mae=0.05))

    def card(self, *, gamma: float | None = 0.1, disagreement=None, **changes):
        estimated = self.off[:50] if disagreement is None else np.asarray(disagreement)
        values = bias_weights(estimated, math.inf if gamma is None else gamma)
        weights = Weights(
            gamma=gamma,
            candidates=(Candidate(0.1, 0.2), Candidate(None, 0.3)),
            effective_sample_size=effective_sample_size(values),
            frame_ids=tuple(self.ids[:50]),
            disagreement=tuple(estimated.tolist()),
            values=tuple(values.tolist()),
        )
        frames = CardFrames(accurate_train=tuple(self.ids[:8]), accurate_valid=tuple(self.ids[8:LABELS]), cheap=50)
        levels = {"cheap": str(CHEAP), "accurate": str(ACCURATE)}
        made = {"frames": frames, "weights": weights, "parents": {"teacher": "teacher"}}
        return bare_card(**(levels | made | changes))

    def diagnose(self, *, teacher_forces=None, **options):
        found = bias_diagnostics(self.store, "water", self.card(**options), teacher_forces=teacher_forces)
        json.dumps(found, allow_nan=False)
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(Store(tmp_path_factory.mktemp("store")))


def test_the_disagreement_is_the_one_that_was_put_in(world):
    found = world.diagnose()["disagreement"]
    # A third of the components is off by three times the frame's mean.
    assert found["frames"] == FRAMES
    assert found["force_mae"] == pytest.approx(world.off.mean())
    assert found["force_rmse"] == pytest.approx(math.sqrt(3 * np.mean(world.off**2)))
    hydrogen, oxygen = found["elements"]
    assert (hydrogen["symbol"], hydrogen["atoms"], hydrogen["mae"]) == ("H", 2 * FRAMES, 0.0)
    assert (oxygen["symbol"], oxygen["atoms"]) == ("O", FRAMES)
    assert oxygen["mae"] == pytest.approx(3 * world.off.mean())


def test_the_bias_by_energy_counts_every_frame_once_from_the_lowest_up(world):
    rows = world.diagnose()["disagreement"]["energies"]
    assert [row["frames"] for row in rows] == [12] * 5
    assert rows[0]["low"] == 0.0
    assert rows[-1]["high"] == pytest.approx(1.0)
    # Here the bias rises with the energy, evenly.
    assert [row["force_mae"] for row in rows] == pytest.approx(world.off.reshape(5, 12).mean(axis=1))


def test_elements_are_told_apart_in_frames_of_several_sizes():
    numbers = [np.array([6, 1]), np.array([1])]
    cheap = [np.array([[1.0, 1, 1], [2, 2, 2]]), np.array([[4.0, 4, 4]])]
    rows = force_disagreement_by_element(numbers, cheap, [np.zeros((2, 3)), np.ones((1, 3))])
    assert [(row["symbol"], row["atoms"], row["mae"]) for row in rows] == [("H", 2, 2.5), ("C", 1, 1.0)]


def test_a_factor_between_the_levels_is_found_and_explains_all_of_it():
    forces = np.random.default_rng(1).normal(size=(40, 3))
    assert global_scale(forces, 0.9 * forces) == pytest.approx({"factor": 0.9, "explained": 1.0})
    noise = np.random.default_rng(2).normal(size=(40, 3))
    # Least squares by another road.
    factor = np.linalg.lstsq(forces.reshape(-1, 1), (forces + noise).ravel())[0][0]
    assert global_scale(forces, forces + noise)["factor"] == pytest.approx(factor)
    assert global_scale(forces, forces) is None


def test_correlations_and_their_intervals_are_those_of_scipy():
    rng = np.random.default_rng(4)
    x = rng.normal(size=40)
    y = np.exp(x + rng.normal(0, 0.7, 40))
    found = correlation(x, y)
    pearson = stats.pearsonr(x, y)
    interval = pearson.confidence_interval(0.95)
    assert found["pearson"] == pytest.approx(
        {"value": pearson.statistic, "low": interval.low, "high": interval.high}, abs=1e-6
    )
    assert found["spearman"]["value"] == pytest.approx(stats.spearmanr(x, y).statistic)
    # Wider than Fisher's for ranks, as Bonett and Wright found it must be.
    rank = stats.pearsonr(stats.rankdata(x), stats.rankdata(y)).confidence_interval(0.95)
    assert found["spearman"]["low"] < rank.low
    assert found["spearman"]["high"] > rank.high


@pytest.mark.parametrize("y", [np.ones(8), np.arange(4.0)])
def test_nothing_is_said_of_a_correlation_that_has_no_meaning(y):
    assert correlation(np.arange(len(y), dtype=float), y) is None


def test_a_perfect_estimate_correlates_perfectly():
    found = correlation(np.arange(10.0), 2 * np.arange(10.0))
    assert found["spearman"]["value"] == pytest.approx(1.0)
    assert found["pearson"]["high"] == pytest.approx(1.0)


def test_frames_that_trained_the_teacher_do_not_judge_its_estimate(world):
    found = world.diagnose()["estimate"]
    assert found["frames"] == 50 - LABELS
    assert found["correlation"]["pearson"]["value"] == pytest.approx(1.0)
    assert sorted(found["true"]) == pytest.approx(world.off[LABELS:50].tolist())


def test_what_the_teacher_predicts_for_test_frames_judges_it_too(world):
    unseen = {i: world.accurate[i] + 0.01 for i in world.ids[50:]}
    known = {world.ids[0]: world.accurate[world.ids[0]]}
    found = world.diagnose(teacher_forces=unseen | known)
    assert found["estimate"]["frames"] == FRAMES - LABELS
    assert found["teacher"] == pytest.approx(
        {"models": 1, "valid_force_mae": 0.05, "unseen_force_mae": 0.01, "unseen_frames": 10}
    )


def test_the_weighted_bias_is_smaller_where_the_estimate_is_right(world):
    found = world.diagnose(gamma=0.05)["estimate"]
    off = world.off[LABELS:50]
    weights = np.exp(-off / 0.05)
    assert found["mean_bias"] == pytest.approx(off.mean())
    assert found["weighted_bias"] == pytest.approx(float(weights @ off / weights.sum()))


def test_weights_that_do_their_work_raise_no_warning(world):
    assert world.diagnose(gamma=0.1)["warnings"] == []


def test_a_collapse_of_the_weights_is_a_warning(world):
    (warning,) = world.diagnose(gamma=0.005)["warnings"]
    assert warning.startswith("The weights collapse: 50 cheap frames count like 2 of equal weight, fewer than the 10")


@pytest.mark.parametrize(("gamma", "why"), [(None, "no weighting did best"), (5.0, "vary by 1.5%")])
def test_weights_that_do_nothing_are_a_warning(world, gamma, why):
    (warning,) = world.diagnose(gamma=gamma)["warnings"]
    assert warning.startswith("The weights do nothing")
    assert why in warning


def test_an_estimate_that_knows_nothing_of_the_bias_is_a_warning(world):
    shuffled = np.random.default_rng(5).permutation(world.off[:50])
    (warning,) = world.diagnose(disagreement=shuffled)["warnings"]
    assert warning.startswith("The estimated bias does not follow the true one")


def test_a_teacher_no_better_than_the_cheap_level_is_a_warning(world):
    bad = {i: world.accurate[i] + 1.0 for i in world.ids[50:]}
    warnings = world.diagnose(teacher_forces=bad)["warnings"]
    assert any(warning.startswith("The teacher is no better than the cheap level") for warning in warnings)


def test_the_spread_of_atom_weights_is_that_of_the_atoms(world):
    card = world.card()
    # Frames weigh alike, and within each a third of the atoms has all the weight.
    weights = replace(card.weights, values=(1.0,) * 50, atoms=((3.0, 0.0, 0.0),) * 50)
    weights = bias_diagnostics(world.store, "water", replace(card, weights=weights))["weights"]
    assert weights["by_atom"]
    assert weights["effective_sample_size"] == pytest.approx(50 / 3)
    assert weights["variation"] == pytest.approx(math.sqrt(2))


def test_the_histogram_counts_every_weight(world):
    weights = world.diagnose()["weights"]
    assert sum(weights["histogram"]["counts"]) == weights["frames"] == 50
    card = world.card()
    assert weights["effective_sample_size"] == pytest.approx(card.weights.effective_sample_size)


def test_without_weights_the_bias_is_still_measured(world):
    found = bias_diagnostics(world.store, "water", world.card(weights=None, parents={}))
    assert found["disagreement"]["frames"] == FRAMES
    assert found["weights"] is found["estimate"] is found["teacher"] is None
    assert found["warnings"] == []


def test_a_model_without_a_cheap_level_has_no_bias(world):
    assert bias_diagnostics(world.store, "water", world.card(cheap=None)) is None


@pytest.mark.long
def test_the_frames_that_a_training_weighs_are_named_in_the_order_of_their_weights(water, tmp_path):
    store = Store(tmp_path / "store")
    ids = fill(store, water)
    card = train_model(
        *(store, "water"),
        strategy="weighted",
        cheap=CHEAP_WATER,
        accurate=ACCURATE_WATER,
        train_ids=ids[:8],
        valid_ids=ids[8:12],
        # Not in the order of their ids, which is the order of a training.
        cheap_ids=ids[:30],
        settings=tiny_settings(),
    )
    teacher = load_model(store, "water", card.parents["teacher"])
    cheap = store.labels("water", CHEAP_WATER)
    configurations = {frame.frame_id: frame.configuration for frame in store.frames("water")}
    named = card.weights.frame_ids
    forces = predict(teacher, [configurations[i] for i in named])[1]
    by_hand = [np.abs(cheap[i].forces - f).mean() for i, f in zip(named, forces, strict=True)]
    assert card.weights.disagreement == pytest.approx(by_hand, rel=1e-6)
    found = bias_diagnostics(store, "water", card)
    assert found["disagreement"]["frames"] == len(ids)
    # Those that trained or stopped the teacher are left out, wherever they are.
    assert found["estimate"]["frames"] == len(set(named) - set(ids[:12]))
