"""Which model is handed over: never one that held-out frames know to be worse than accurate labels alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from asteroid import stages
from asteroid.levels import LevelOfTheory
from asteroid.manifest import (
    AcquisitionSettings,
    BudgetSettings,
    ModelSettings,
    MoleculeSettings,
    SamplingSettings,
    TrainingSettings,
)
from asteroid.stages.models import training_frames
from asteroid.stages.round_files import with_labels
from asteroid.store import Store
from asteroid.store.models import read_card

TRAINING = TrainingSettings(
    strategy="unweighted",
    model=ModelSettings(channels=4, max_l=0, correlation=1, interactions=1),
    pretrain_steps=1,
    finetune_steps=1,
    scratch_steps=150,
    evaluate_every=50,
)
WATER = MoleculeSettings(
    name="water",
    smiles="O",
    accurate=LevelOfTheory.parse("hf/sto-3g"),
    sampling=SamplingSettings(frames=100, methods=("normal-modes",), temperatures=(300.0,), conformers=1),
    budget=BudgetSettings(accurate=25, valid_fraction=0.4, test=2),
    training=TRAINING,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(str(tmp_path_factory.mktemp("store")))
    stages.sample(store, WATER, workers=1)
    stages.select(store, WATER)
    for level in (WATER.cheap, WATER.accurate):
        stages.label(store, WATER, level, workers=1)
    return store


def test_a_model_that_has_learnt_nothing_is_passed_over_for_accurate_labels_alone(store: Store) -> None:
    card = stages.train(store, WATER)
    models = stages.trained_models(store, WATER)
    assert models is not None
    assert card.strategy == "scratch"
    assert (models.final, models.scratch) == (card.model_id, card.model_id)
    assert models.passed_over is not None
    passed_over = read_card(store, "water", models.passed_over)
    assert passed_over.strategy == "unweighted"
    assert passed_over.valid_force_mae > card.valid_force_mae
    # A loop of rounds goes on with the strategy it was asked for.
    assert stages.round_model(store, WATER) == models.passed_over
    assert Path(store.location(f"models/water/{models.final}/minimum.json")).exists()


def test_from_ten_held_out_frames_on_a_loop_of_rounds_calibrates_by_others_than_those_that_stop(store: Store) -> None:
    alone, _, _ = training_frames(store, WATER)
    assert (len(alone.valid), alone.calibration, alone.unused) == (10, (), alone.valid)
    loop = replace(WATER, acquisition=AcquisitionSettings())
    apart, _, _ = training_frames(store, loop)
    assert (len(apart.valid), len(apart.calibration)) == (5, 5)
    assert apart.unused == apart.calibration
    assert sorted(apart.held_out) == sorted(alone.valid)
    few, _, _ = training_frames(store, with_labels(loop, {"water": 20}))
    assert (len(few.valid), few.calibration) == (8, ())


def test_a_model_that_is_no_worse_is_handed_over(store: Store) -> None:
    alike = replace(WATER, training=TRAINING.model_copy(update={"scratch_steps": 1}))
    stages.train(store, alike)
    models = stages.trained_models(store, alike)
    assert models is not None
    assert models.passed_over is None
    assert models.final != models.scratch
