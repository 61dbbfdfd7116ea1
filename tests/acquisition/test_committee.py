from typing import Any

import numpy as np
import pytest
import torch

from asteroid.acquisition.committee import committee_predict, descriptors, force_disagreement, train_committee
from asteroid.configuration import Configuration
from asteroid.data.training_set import TrainingSet
from asteroid.store import Store
from asteroid.store.models import Card, read_card
from asteroid.training.predict import predict
from asteroid.training.run import load_model
from tests.training.conftest import ACCURATE, CHEAP, Labels, fill, tiny_settings, train_model

Made = tuple[Store, Card, list[str]]


def data_of(card: Card) -> TrainingSet:
    """What a model was trained on."""
    train, valid = card.frames.accurate_train, card.frames.accurate_valid
    return TrainingSet.of_molecule("water", cheap=CHEAP, accurate=ACCURATE, train=train, valid=valid)


@pytest.fixture(scope="module")
def made(water: Labels, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model of 8 accurate labels and its committee of three."""
    store = Store(tmp_path_factory.mktemp("store"))
    ids = fill(store, water)
    card = train_model(
        store,
        "water",
        strategy="unweighted",
        cheap=CHEAP,
        accurate=ACCURATE,
        train_ids=ids[:8],
        valid_ids=ids[8:12],
        cheap_ids=ids[12:30],
        settings=tiny_settings(
            model=tiny_settings().model.model_copy(update={"max_l": 1}), finetune_steps=150, evaluate_every=150, seed=3
        ),
    )
    return store, card, train_committee(store, card, data_of(card), members=3)


def load(store: Store, ids: list[str]) -> list[torch.nn.Module]:
    return [load_model(store, "water", model_id) for model_id in ids]


@pytest.mark.long
def test_members_go_on_from_the_finished_model_on_its_own_labels(made: Made) -> None:
    store, card, members = made
    cards = [read_card(store, "water", member) for member in members]
    assert len(set(members)) == 3
    for member in cards:
        assert member.parents == {"start": card.model_id}
        assert member.frames.accurate_train == card.frames.accurate_train
        assert member.frames.cheap == 0
        assert list(member.seconds) == ["member"]
    assert [member.seed for member in cards] == [3, 4, 5]


@pytest.mark.long
def test_a_committee_that_is_there_is_not_trained_again(made: Made) -> None:
    store, card, members = made
    calls: list[Any] = []
    again = train_committee(store, card, data_of(card), members=2, on_progress=lambda *progress: calls.append(progress))
    assert again == members[:2]
    assert calls == []


@pytest.mark.long
def test_members_disagree_most_where_no_label_was(made: Made, water: Labels) -> None:
    store, _, members = made
    models = load(store, members)
    known = [frame.configuration for frame in water.accurate[:8]]
    # Stretched by a quarter: far outside of displacements of 0.08 Å.
    strange = [c.with_positions(1.25 * c.positions) for c in known]
    assert (committee_predict(models, known).uncertainty > 0).all(), "the start is not where all members stay"
    assert np.median(committee_predict(models, strange).uncertainty) > 2 * np.median(
        committee_predict(models, known).uncertainty
    )


@pytest.mark.long
def test_a_committee_predicts_the_mean_of_its_members(made: Made, water: Labels) -> None:
    store, _, members = made
    models = load(store, members)
    configurations = [frame.configuration for frame in water.accurate[30:34]]
    each = [predict(model, configurations) for model in models]
    found = committee_predict(models, configurations)
    assert found.forces[2] == pytest.approx(np.mean([forces[2] for _, forces in each], axis=0))
    assert found.uncertainty[2] == pytest.approx(force_disagreement(np.array([forces[2] for _, forces in each])))


def test_the_disagreement_is_the_spread_of_the_force_on_an_atom() -> None:
    # Two members, two atoms: one atom agrees, on the other they are 0.3 eV/Å to either side of their mean.
    forces = np.zeros((2, 2, 3))
    forces[:, 1, 0] = [0.3, -0.3]
    assert force_disagreement(forces) == pytest.approx(0.3 / np.sqrt(2))
    assert force_disagreement(forces + 7.0) == pytest.approx(force_disagreement(forces)), "no spread, no uncertainty"


@pytest.mark.long
def test_descriptors_know_neither_orientation_nor_names_of_equal_atoms(made: Made, water: Labels) -> None:
    store, card, _ = made
    model = load_model(store, "water", card.model_id)
    one = water.accurate[0].configuration
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turned = one.with_positions(one.positions @ quarter.T + 5.0)
    exchanged = Configuration(one.numbers, one.positions[[0, 2, 1]])
    reordered = Configuration(np.array([1, 8, 1]), one.positions[[1, 0, 2]])
    other = water.accurate[1].configuration
    found = descriptors(model, [one, turned, exchanged, reordered, other])
    # Two elements, two layers of four scalar channels; the vectors of the first layer are no part.
    assert found.shape == (5, 2 * 2 * 4)
    assert np.abs(found[1:4] - found[0]).max() < 1e-9
    assert np.abs(found[4] - found[0]).max() > 1e-3


@pytest.mark.long
def test_descriptors_do_not_depend_on_the_batch(made: Made, water: Labels) -> None:
    store, card, _ = made
    model = load_model(store, "water", card.model_id)
    configurations = [frame.configuration for frame in water.accurate[:7]]
    alone = np.concatenate([descriptors(model, [one]) for one in configurations])
    assert alone == pytest.approx(descriptors(model, configurations))
