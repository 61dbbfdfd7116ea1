import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asteroid.errors import InputError, TrainingError
from asteroid.store import Store
from asteroid.training.dataset import fit_reference_energies
from asteroid.training.predict import predict
from asteroid.training.run import Card, load_calculator, load_model, read_card, train_model
from asteroid.training.session import StoreCheckpoints

from .conftest import ACCURATE, CHEAP, Labels, fill, tiny_settings

CARD_KEYS = {
    *("model_id", "molecule", "strategy", "cheap", "accurate", "seed", "created", "asteroid_version", "settings"),
    *("frames", "reference_energies", "history", "weights", "valid_force_mae", "seconds", "core_seconds", "device"),
    *("precision", "parameters", "parents"),
}


class Killed(Exception):
    """Stands for the end of the process."""


@dataclass(frozen=True)
class Killer:
    """Ends the training when a stage reports this step."""

    stage: str
    step: int

    def __call__(self, stage: str, step: int, steps: int, valid_force_mae: float | None) -> None:
        if (stage, step) == (self.stage, self.step):
            raise Killed


def train(store: Store, ids: list[str], **options: Any) -> Card:
    arguments: dict[str, Any] = {
        "strategy": "weighted",
        "train_ids": ids[:8],
        "valid_ids": ids[8:12],
        "cheap_ids": ids[:8] + ids[12:],
        "settings": tiny_settings(),
        **options,
    }
    return train_model(store, "water", cheap=CHEAP, accurate=ACCURATE, **arguments)


@pytest.fixture(scope="module")
def trained(water: Labels, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[str], Card]:
    store = Store(tmp_path_factory.mktemp("store"))
    ids = fill(store, water)
    return store, ids, train(store, ids)


def test_a_card_says_what_the_model_was_made_from(trained: tuple[Store, list[str], Card], water: Labels) -> None:
    store, ids, card = trained
    assert set(card) == CARD_KEYS
    assert read_card(store, "water", card["model_id"]) == card
    assert card["frames"] == {"accurate_train": sorted(ids[:8]), "accurate_valid": sorted(ids[8:12]), "cheap": 36}
    accurate = sorted(water.accurate[:8], key=lambda f: f.frame_id)
    references = fit_reference_energies(accurate)
    assert card["reference_energies"] == {"H": references[1], "O": references[8]}
    assert [line["stage"] for line in card["history"]] == ["pretrain"] * 2 + ["finetune"] * 2
    assert card["weights"]["gamma"] == 0.1
    assert np.mean(card["weights"]["values"]) == pytest.approx(1.0)
    assert read_card(store, "water", card["parents"]["teacher"])["strategy"] == "scratch"


def test_training_again_returns_the_same_card_without_training(trained: tuple[Store, list[str], Card]) -> None:
    store, ids, card = trained
    calls: list[Any] = []
    again = train(store, ids[:8][::-1] + ids[8:], on_progress=lambda *progress: calls.append(progress))
    assert again == card
    assert calls == []


def test_checkpoints_are_gone_once_the_card_is_there(trained: tuple[Store, list[str], Card]) -> None:
    store, _, card = trained
    for model_id in (card["model_id"], card["parents"]["teacher"]):
        assert store.names(f"checkpoints/water/{model_id}") == []


def test_the_teacher_is_the_scratch_model_of_any_comparison(trained: tuple[Store, list[str], Card]) -> None:
    store, ids, card = trained
    settings = tiny_settings(gamma=0.3, finetune_learning_rate=0.001)
    scratch = train(store, ids, strategy="scratch", settings=settings, cheap_ids=ids[20:])
    assert scratch["model_id"] == card["parents"]["teacher"]
    assert scratch["cheap"] is None


def test_a_saved_model_gives_the_same_energies_and_forces_in_an_ase_calculator(
    trained: tuple[Store, list[str], Card], water: Labels
) -> None:
    store, _, card = trained
    configurations = [f.configuration for f in water.accurate[:2]]
    energies, forces = predict(load_model(store, "water", card["model_id"]), configurations)
    calculator = load_calculator(store, "water", card["model_id"], device="cpu")
    atoms = configurations[1].to_atoms()
    atoms.calc = calculator
    # Rounding of sums in double precision.
    assert atoms.get_potential_energy() == pytest.approx(energies[1], abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), forces[1], atol=1e-9)
    # The accurate level's reference energies are in it: the error is that of the interactions, not hundreds of eV.
    assert abs(energies - [f.energy for f in water.accurate[:2]]).max() < 5.0
    single = load_calculator(store, "water", card["model_id"], device="cpu", dtype="float32")
    # Single precision holds 150 eV to about 1e-5 eV.
    assert predict(single, configurations)[0] == pytest.approx(energies, abs=1e-3)


def test_forces_of_a_trained_model_are_minus_the_finite_difference_of_its_energy(
    trained: tuple[Store, list[str], Card], water: Labels
) -> None:
    store, _, card = trained
    model = load_model(store, "water", card["model_id"])
    configuration = water.accurate[4].configuration
    step = 1e-4
    displaced = []
    for atom, axis in np.ndindex(3, 3):
        for sign in (1, -1):
            positions = configuration.positions.copy()
            positions[atom, axis] += sign * step
            displaced.append(configuration.with_positions(positions))
    energies, _ = predict(model, displaced)
    numerical = -(energies[0::2] - energies[1::2]) / (2 * step)
    # Central differences: an error of order step² times a third derivative of about 100 eV/Å³.
    np.testing.assert_allclose(predict(model, [configuration])[1][0].ravel(), numerical, atol=1e-5)


def test_a_training_killed_at_every_kind_of_stage_continues_to_the_very_same_model(
    water: Labels, trained: tuple[Store, list[str], Card], tmp_path: Path
) -> None:
    settings = tiny_settings(gamma="auto")
    whole = train(trained[0], trained[1], settings=settings)
    store = Store(tmp_path)
    ids = fill(store, water)
    order = ["scratch", "gamma-1", "gamma-2", "gamma-3", "gamma-4", "pretrain", "finetune"]
    # A trial has only 2 steps: it is killed at its end, when its state is kept but not yet its result.
    for stage, step in (("scratch", 20), ("gamma-2", 2), ("pretrain", 10), ("finetune", 10)):
        with pytest.raises(Killed):
            train(store, ids, settings=settings, on_progress=Killer(stage, step))
    seen: list[str] = []
    card = train(store, ids, settings=settings, on_progress=lambda name, *_: seen.append(name))
    assert set(seen) == {"finetune"}, "finished stages are not done again"
    # Times differ; nothing that was learnt may.
    for key in CARD_KEYS - {"created", "seconds", "core_seconds"}:
        assert card[key] == whole[key], key
    assert list(card["seconds"]) == order[1:]
    one, other = (load_model(s, "water", card["model_id"]) for s in (store, trained[0]))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_too_few_labels_are_named(trained: tuple[Store, list[str], Card]) -> None:
    store, ids, _ = trained
    with pytest.raises(TrainingError, match="1 labels at gfn2-xtb"):
        train(store, ids, train_ids=ids[:1])
    with pytest.raises(TrainingError, match="no held-out label"):
        train(store, ids, valid_ids=[])
    with pytest.raises(TrainingError, match="0 labels at gfn1-xtb"):
        train(store, ids, strategy="unweighted", cheap_ids=[])
    with pytest.raises(InputError, match="did you mean 'weighted'"):
        train(store, ids, strategy="weigthed")


def test_a_foundation_model_is_where_training_starts(
    water: Labels, trained: tuple[Store, list[str], Card], tmp_path: Path
) -> None:
    store, ids, card = trained
    foundation = tmp_path / "foundation.model"
    foundation.write_bytes(store.read(f"models/water/{card['model_id']}/model.model"))
    settings = tiny_settings(foundation=str(foundation), scratch_steps=1, learning_rate=1e-9, evaluate_every=1)
    started = train(store, ids, strategy="scratch", settings=settings)
    # One step of a vanishing rate changes nothing: the error is that of the model it started from.
    assert started["valid_force_mae"] == pytest.approx(card["valid_force_mae"], rel=1e-3)
    with pytest.raises(InputError, match="not a file"):
        train(store, ids, settings=tiny_settings(foundation=str(tmp_path / "absent")))


def test_only_the_newest_checkpoint_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keeper = StoreCheckpoints(store, "water", "0123456789abcdef")
    assert keeper.load() is None
    for content in (b"first", b"second", b"third"):
        keeper.save(content)
        assert keeper.load() == content
        assert len(store.names("checkpoints/water/0123456789abcdef")) == 1
    keeper.clear()
    assert keeper.load() is None


def test_a_model_opens_without_asteroid_knowing_where_it_came_from(trained: tuple[Store, list[str], Card]) -> None:
    from mace.calculators import MACECalculator

    store, _, card = trained
    path = store.local_path(f"models/water/{card['model_id']}/model.model")
    calculator = MACECalculator(model_paths=str(path), device="cpu", default_dtype="float64")
    assert calculator.r_max == 3.0
    assert torch.load(io.BytesIO(path.read_bytes()), weights_only=False).heads == ["Default"]
