"""Pretraining without labels, from the store to the finished model."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.errors import TrainingError
from asteroid.manifest import Strategy
from asteroid.store import Store
from asteroid.store.models import Card
from asteroid.store.rows import Attempt
from asteroid.training.dataset import LabelledFrame
from asteroid.training.held_out import HeldOut
from asteroid.training.predict import predict
from asteroid.training.run import load_model
from asteroid.units import BOLTZMANN
from tests.training.conftest import train_model

from .conftest import ACCURATE, CHEAP, Labels, tiny_settings

FORMS: list[Strategy] = ["score-matching", "score-matching-exact", "score-matching-denoising"]


def fill(store: Store, labels: Labels, temperatures: Sequence[float | None], *, cheap: bool = False) -> list[str]:
    """Frames drawn at these temperatures in turn, accurate labels and perhaps cheap ones; returns the frame ids."""
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    store.add_frames(
        "water",
        [
            Frame(f.configuration, Origin("md", temperature=temperatures[i % len(temperatures)]), "group", "train")
            for i, f in enumerate(labels.accurate)
        ],
        batch="test",
    )
    for level, labelled in ((ACCURATE, labels.accurate), *(((CHEAP, labels.cheap),) if cheap else ())):
        attempts = [
            Attempt(frame_id=f.frame_id, status="ok", energy=f.energy, forces=f.forces, time=now) for f in labelled
        ]
        store.add_attempts("water", level, attempts)
    return [f.frame_id for f in labels.accurate]


def train(store: Store, ids: list[str], **options: Any) -> Card:
    arguments: dict[str, Any] = {
        "strategy": "score-matching",
        "train_ids": ids[:8],
        "valid_ids": ids[8:12],
        "cheap_ids": ids[12:],
        "settings": tiny_settings(pretrain_steps=4, finetune_steps=2, evaluate_every=2),
        **options,
    }
    return train_model(store, "water", cheap=CHEAP, accurate=ACCURATE, **arguments)


@pytest.mark.parametrize("strategy", FORMS)
def test_configurations_without_a_single_cheap_label_pretrain_a_model(
    water: Labels, tmp_path: Path, strategy: Strategy
) -> None:
    store = Store(tmp_path)
    card = train(store, fill(store, water, [500.0]), strategy=strategy)
    assert [line.stage for line in card.history] == ["pretrain"] * 2 + ["finetune"]
    assert card.frames.configurations == 28
    assert card.frames.cheap == 0
    assert card.cheap is None


def test_cheap_labels_change_nothing(water: Labels, tmp_path: Path) -> None:
    with_labels, without = Store(tmp_path / "with"), Store(tmp_path / "without")
    cards = [
        train(with_labels, fill(with_labels, water, [500.0], cheap=True)),
        train(without, fill(without, water, [500.0])),
    ]
    assert cards[0].model_id == cards[1].model_id
    assert cards[0].history == cards[1].history


def test_another_temperature_makes_another_model(water: Labels, tmp_path: Path) -> None:
    cards = []
    for temperature in (300.0, 600.0):
        store = Store(tmp_path / f"{temperature:.0f}")
        cards.append(train(store, fill(store, water, [temperature])))
    assert cards[0].model_id != cards[1].model_id
    assert cards[0].history[0].loss != cards[1].history[0].loss


def test_only_configurations_with_a_temperature_are_learnt_from(water: Labels, tmp_path: Path) -> None:
    store = Store(tmp_path)
    card = train(store, fill(store, water, [500.0, None]))
    assert card.frames.configurations == 14


@pytest.mark.parametrize("strategy", FORMS)
def test_configurations_without_a_temperature_are_refused(water: Labels, tmp_path: Path, strategy: Strategy) -> None:
    store = Store(tmp_path)
    ids = fill(store, water, [None], cheap=True)
    with pytest.raises(TrainingError, match=r"water: 0 of 28 .* --temperature") as refusal:
        train(store, ids, strategy=strategy)
    assert "\n" not in str(refusal.value)


class Killed(Exception):
    """Stands for the end of the process."""


def test_a_training_killed_while_it_matches_scores_continues_to_the_very_same_model(
    water: Labels, tmp_path: Path
) -> None:
    def die(stage: str, step: int, steps: int, held_out: HeldOut | None) -> None:
        if (stage, step) == ("pretrain", 2):
            raise Killed

    stores = [Store(tmp_path / name) for name in ("whole", "killed")]
    whole = train(stores[0], fill(stores[0], water, [500.0]))
    ids = fill(stores[1], water, [500.0])
    with pytest.raises(Killed):
        train(stores[1], ids, on_progress=die)
    continued = train(stores[1], ids)
    assert continued.history == whole.history
    one, other = (load_model(store, "water", whole.model_id) for store in stores)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


STIFFNESS, LENGTH, HOT = 20.0, 1.1, 1000.0
"""eV/Å², Å and K: carbon monoxide, as soft as a spring that its thermal width shows well."""


def stretched(distances: np.ndarray, seed: int) -> list[LabelledFrame]:
    """Carbon monoxide of these lengths in random directions, with the label of a spring."""
    frames = []
    for distance, axis in zip(distances, np.random.default_rng(seed).normal(size=(len(distances), 3)), strict=True):
        unit = axis / np.linalg.norm(axis)
        pull = STIFFNESS * (distance - LENGTH) * unit
        configuration = Configuration(np.array([6, 8]), np.array([0 * unit, distance * unit]))
        frames.append(LabelledFrame(configuration, 0.5 * STIFFNESS * (distance - LENGTH) ** 2, np.array([pull, -pull])))
    return frames


@pytest.mark.long
@pytest.mark.parametrize(
    "strategy",
    [form if form == "score-matching-denoising" else pytest.param(form, marks=pytest.mark.long) for form in FORMS],
)
def test_a_mace_model_learns_the_spring_of_a_bond_from_its_lengths_alone(tmp_path: Path, strategy: Strategy) -> None:
    grid = np.linspace(0.5, 1.7, 20001)
    density = grid**2 * np.exp(-0.5 * STIFFNESS * (grid - LENGTH) ** 2 / (BOLTZMANN * HOT))
    lengths = np.interp(np.random.default_rng(1).random(2000), np.cumsum(density) / density.sum(), grid)
    frames = stretched(lengths, seed=2)
    store = Store(tmp_path)
    ids = fill(store, Labels([], frames), [HOT])
    settings = tiny_settings(
        pretrain_steps=400, batch_size=50, evaluate_every=200, finetune_steps=1, finetune_learning_rate=1e-12
    )
    card = train(store, ids, strategy=strategy, settings=settings)
    # Where the configurations are: two thermal widths to either side.
    width = np.sqrt(BOLTZMANN * HOT / STIFFNESS)
    probe = stretched(np.linspace(LENGTH - 2 * width, LENGTH + 2 * width, 21), seed=3)
    _, forces = predict(load_model(store, "water", card.model_id), [frame.configuration for frame in probe])
    learnt, true = np.concatenate(forces).ravel(), np.concatenate([np.array(f.forces) for f in probe]).ravel()
    # The least-squares force constant, relative to the spring's; 2000 lengths tell it to 3 %.
    assert learnt @ true / (true @ true) == pytest.approx(1.0, abs=0.1)
    assert np.abs(learnt - true).mean() < 0.1 * np.abs(true).mean()
