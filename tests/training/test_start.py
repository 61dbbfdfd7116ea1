"""Trainings that go on from a finished model of the store."""

from typing import Any, get_args

import numpy as np
import pytest
import torch

from asteroid.errors import InputError
from asteroid.manifest import Strategy
from asteroid.store import Store
from asteroid.store.models import Card, read_card
from asteroid.training.predict import predict
from asteroid.training.run import load_model
from tests.marks import mostly_long
from tests.training.conftest import train_model

from .conftest import ACCURATE, CHEAP, Labels, fill, tiny_settings
from .test_run import Killed, Killer


def train(store: Store, ids: list[str], **options: Any) -> Card:
    arguments: dict[str, Any] = {
        "strategy": "unweighted",
        "train_ids": ids[:8],
        "valid_ids": ids[8:12],
        "cheap_ids": ids[12:],
        "settings": tiny_settings(),
        **options,
    }
    return train_model(store, "water", cheap=CHEAP, accurate=ACCURATE, **arguments)


@pytest.fixture
def store(tmp_path: Any, water: Labels) -> tuple[Store, list[str]]:
    store = Store(tmp_path)
    return store, fill(store, water)


def weights(store: Store, card: Card) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in load_model(store, "water", card.model_id).parameters()])


@pytest.mark.long
def test_a_training_goes_on_from_the_weights_of_the_model_it_starts_from(
    store: tuple[Store, list[str]], water: Labels
) -> None:
    kept, ids = store
    first = train(kept, ids)
    # Steps too small to move anything, on other labels than the first model had.
    still = tiny_settings(learning_rate=1e-12, finetune_learning_rate=1e-12)
    second = train(kept, ids, train_ids=ids[12:20], settings=still, start=first.model_id)
    assert second.parents == {"start": first.model_id}
    assert weights(kept, second) == pytest.approx(weights(kept, first), abs=1e-9)
    configurations = [frame.configuration for frame in water.accurate[:4]]
    before, after = (predict(load_model(kept, "water", c.model_id), configurations) for c in (first, second))
    assert np.array(after[1]) == pytest.approx(np.array(before[1]), abs=1e-7)
    # Only the zero of energy has moved, to where the labels are.
    assert np.ptp(after[0] - before[0]) < 1e-7


@pytest.mark.parametrize(
    "strategy", mostly_long(sorted(set(get_args(Strategy)) - {"multihead", "foundation"}), quick=["corrected"])
)
def test_a_model_of_each_strategy_goes_on_with_more_labels(store: tuple[Store, list[str]], strategy: Strategy) -> None:
    kept, ids = store
    first = train(kept, ids, strategy=strategy, train_ids=ids[:6])
    second = train(kept, ids, strategy=strategy, start=first.model_id)
    assert second.parents["start"] == first.model_id
    assert second.adds_to == first.adds_to
    assert second.history
    # A training that finds nothing better on the held-out frames keeps the weights that it started from.
    assert np.isfinite([second.valid_force_mae, second.valid_energy_mae]).all()


@pytest.mark.long
def test_where_it_starts_is_part_of_the_name_of_a_model(store: tuple[Store, list[str]]) -> None:
    kept, ids = store
    first = train(kept, ids, strategy="scratch")
    other = train(kept, ids, strategy="scratch", settings=tiny_settings(seed=1))
    onwards = [train(kept, ids, strategy="scratch", start=card.model_id).model_id for card in (first, other)]
    assert len({first.model_id, other.model_id, *onwards}) == 4
    larger = tiny_settings(model=tiny_settings().model.model_copy(update={"channels": 16}))
    same = train(kept, ids, strategy="scratch", start=first.model_id, settings=larger)
    assert same.model_id == onwards[0], "the size is that of the model it starts from"


@pytest.mark.long
def test_a_killed_training_from_a_model_continues_bit_for_bit(store: tuple[Store, list[str]], tmp_path: Any) -> None:
    kept, ids = store
    start = train(kept, ids).model_id
    with pytest.raises(Killed):
        train(kept, ids, strategy="member", start=start, on_progress=Killer("member", 10))
    resumed = weights(kept, train(kept, ids, strategy="member", start=start))
    whole = Store(tmp_path / "whole")
    fill(whole, Labels(*_labels(kept, ids)))
    assert train(whole, ids).model_id == start
    assert torch.equal(resumed, weights(whole, train(whole, ids, strategy="member", start=start)))


@pytest.mark.long
def test_members_of_one_model_part_and_their_seed_says_how(store: tuple[Store, list[str]]) -> None:
    kept, ids = store
    start = train(kept, ids).model_id
    members = [train(kept, ids, strategy="member", start=start, settings=tiny_settings(seed=seed)) for seed in (0, 1)]
    first, second = (weights(kept, card) for card in members)
    assert not torch.equal(first, second)
    assert not torch.equal(first, weights(kept, read_card(kept, "water", start)))


def test_a_model_with_two_heads_cannot_start_from_one_with_one(store: tuple[Store, list[str]]) -> None:
    kept, ids = store
    with pytest.raises(InputError, match="multihead, which trains two heads"):
        train(kept, ids, strategy="multihead", start="0" * 16)


def _labels(store: Store, ids: list[str]) -> tuple[list[Any], list[Any]]:
    from asteroid.training.dataset import labelled_frames

    return labelled_frames(store, "water", CHEAP, ids), labelled_frames(store, "water", ACCURATE, ids)
