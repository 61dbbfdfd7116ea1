"""One model of several molecules: each is corrected by its own kernel or by what all teach.

Water and hydrogen peroxide, GFN2 for cheap and GFN1 for accurate, computed here.
"""

import datetime as dt
from typing import Any

import numpy as np
import pytest

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.data.training_set import TrainingFrames, TrainingSet
from asteroid.labelling.campaign import label_configurations
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.models import Card
from asteroid.store.rows import Attempt
from asteroid.training.predict import predict
from asteroid.training.run import load_calculator, load_model, train_model

from .conftest import tiny_settings

CHEAP, ACCURATE = LevelOfTheory("gfn2-xtb"), LevelOfTheory("gfn1-xtb")
WATER = Configuration([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
PEROXIDE = Configuration([8, 8, 1, 1], [[0, 0.73, -0.05], [0, -0.73, -0.05], [0.84, 0.88, 0.42], [-0.84, -0.88, 0.42]])
FRAMES = 24

Made = tuple[Store, dict[str, list[str]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A store with frames of both molecules and labels at both levels."""
    store, ids, now = Store(tmp_path_factory.mktemp("store")), {}, dt.datetime.now(dt.UTC)
    for name, rest in (("water", WATER), ("peroxide", PEROXIDE)):
        noise = np.random.default_rng(4).normal(scale=0.05, size=(FRAMES, *rest.positions.shape))
        frames = [Frame(rest.with_positions(rest.positions + step), Origin("md"), "g", "train") for step in noise]
        store.add_frames(name, frames, batch="b")
        for level in (CHEAP, ACCURATE):
            labels = label_configurations([frame.configuration for frame in frames], level)
            attempts = [
                Attempt(frame_id=f.frame_id, status="ok", energy=a.energy, forces=a.forces, time=now)
                for f, a in zip(frames, labels, strict=True)
            ]
            store.add_attempts(name, level, attempts)
        ids[name] = [frame.frame_id for frame in frames]
    return store, ids


def train(made: Made, counts: dict[str, int], **options: Any) -> Card:
    """A model of so many accurate labels of each molecule, and as many cheap ones as there are."""
    store, ids = made
    molecules = {
        name: TrainingFrames(tuple(ids[name][:n]), tuple(ids[name][n : n + 4]), cheap=tuple(ids[name][8:]))
        for name, n in counts.items()
    }
    settings = tiny_settings(pretrain_steps=40, finetune_steps=10, correction_steps=40, evaluate_every=20, **options)
    return train_model(store, "both", TrainingSet(CHEAP, ACCURATE, molecules), strategy="corrected", settings=settings)


def test_each_molecule_has_a_kernel_of_its_own_and_the_model_knows_both(made: Made) -> None:
    store, _ = made
    card = train(made, {"water": 8, "peroxide": 8})
    corrections = card.correction.molecules
    assert [step["labels"] for name in ("peroxide", "water") for step in corrections[name].steps] == [8, 8]
    for found in corrections.values():
        assert found.valid_force_mae < 0.5 * found.raw_force_mae
    assert (card.molecules, card.compositions) == (("peroxide", "water"), ("H2O", "H2O2"))
    assert store.names("training-sets/both") == [f"{card.training_set}.parquet"]
    # The order in which they are named is no part of a model.
    assert train(made, {"peroxide": 8, "water": 8}).model_id == card.model_id


def test_energies_and_forces_of_a_mixture_are_those_of_its_molecules_one_by_one(made: Made) -> None:
    store, ids = made
    card = train(made, {"water": 8, "peroxide": 8})
    model = load_model(store, "both", card.model_id)
    frames = [f.configuration for name in ("water", "peroxide") for f in store.frames(name, ids=ids[name][:3])]
    mixed = [frames[i] for i in (3, 0, 4, 1, 2, 5)]
    energies, forces = predict(model, mixed)
    for place, configuration in enumerate(mixed):
        alone = predict(model, [configuration])
        assert energies[place] == pytest.approx(float(alone[0][0]), abs=1e-9)
        np.testing.assert_allclose(forces[place], alone[1][0], atol=1e-9)
    atoms = frames[3].to_atoms()
    atoms.calc = load_calculator(store, "both", card.model_id, device="cpu")
    assert atoms.get_potential_energy() == pytest.approx(float(energies[0]), abs=1e-6)


def test_a_molecule_with_too_few_pairs_is_corrected_by_the_network_of_all(made: Made) -> None:
    card = train(made, {"water": 8, "peroxide": 1})
    steps = card.correction.molecules
    assert steps["peroxide"].steps == ({"labels": 1, "network": 1.0},)
    assert steps["water"].steps[0]["labels"] == 8
    assert "correction" in {line.stage for line in card.history}
