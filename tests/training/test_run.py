import contextlib
import dataclasses
import hashlib
import io
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from asteroid.errors import InputError, StoreError, TrainingError
from asteroid.manifest import Strategy
from asteroid.store import Store, paths, records
from asteroid.store.models import Card, CardFrames, read_card
from asteroid.strategies import strategy_named
from asteroid.training.dataset import LabelledFrame
from asteroid.training.held_out import HeldOut
from asteroid.training.predict import predict
from asteroid.training.run import load_calculator, load_model
from tests.marks import mostly_long
from tests.training.conftest import train_model

from .conftest import ACCURATE, CHEAP, Labels, fill, tiny_settings

CARD_KEYS = {
    "molecules",
    "training_set",
    *("model_id", "molecule", "strategy", "cheap", "accurate", "seed", "created", "asteroid_version", "settings"),
    *("frames", "reference_energies", "history", "weights", "seconds", "core_seconds", "gpu_seconds", "device"),
    *(
        "valid_force_mae",
        "valid_energy_mae",
        "precision",
        "parameters",
        "parents",
        "adds_to",
        "correction",
        "model_sha256",
    ),
    *("baseline", "compositions", "energy_shift"),
}


class Killed(Exception):
    """Stands for the end of the process."""


@dataclass(frozen=True)
class Killer:
    """Ends the training when a stage reports this step."""

    stage: str
    step: int

    def __call__(self, stage: str, step: int, steps: int, held_out: HeldOut | None) -> None:
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


def test_a_card_says_what_the_model_was_made_from(trained: tuple[Store, list[str], Card]) -> None:
    store, ids, card = trained
    assert set(store.read_json(paths.model("water", card.model_id, "card.json"))) == CARD_KEYS
    assert read_card(store, "water", card.model_id) == card
    assert card.frames == CardFrames(
        accurate_train=tuple(sorted(ids[:8])), accurate_valid=tuple(sorted(ids[8:12])), cheap=36
    )
    assert card.adds_to is None, "the model stands for itself"
    assert [line.stage for line in card.history] == ["pretrain"] * 2 + ["finetune"] * 2
    assert card.weights.gamma == 0.1
    assert np.mean(card.weights.values) == pytest.approx(1.0)
    assert read_card(store, "water", card.parents["teacher"]).strategy == "scratch"


def test_training_again_returns_the_same_card_without_training(trained: tuple[Store, list[str], Card]) -> None:
    store, ids, card = trained
    calls: list[Any] = []
    again = train(store, ids[:8][::-1] + ids[8:], on_progress=lambda *progress: calls.append(progress))
    assert again == card
    assert calls == []


def test_checkpoints_are_gone_once_the_card_is_there(trained: tuple[Store, list[str], Card]) -> None:
    store, _, card = trained
    for model_id in (card.model_id, card.parents["teacher"]):
        assert store.names(f"checkpoints/water/{model_id}") == []


def test_the_teacher_is_the_scratch_model_of_any_comparison(trained: tuple[Store, list[str], Card]) -> None:
    store, ids, card = trained
    settings = tiny_settings(gamma=0.3, finetune_learning_rate=0.001)
    scratch = train(store, ids, strategy="scratch", settings=settings, cheap_ids=ids[20:])
    assert scratch.model_id == card.parents["teacher"]
    assert scratch.cheap is None


def test_a_finished_model_has_no_mean_energy_error_on_what_trained_it_and_says_its_error_on_held_out_frames(
    trained: tuple[Store, list[str], Card], water: Labels
) -> None:
    store, _, card = trained
    model = load_model(store, "water", card.model_id)
    train, held_out = water.accurate[:8], water.accurate[8:12]
    errors = [
        predict(model, [f.configuration for f in frames])[0] - [f.energy for f in frames]
        for frames in (train, held_out)
    ]
    # Training for a few steps alone leaves more than an eV.
    assert errors[0].mean() == pytest.approx(0.0, abs=1e-5)
    assert card.valid_energy_mae == pytest.approx(np.abs(errors[1]).mean() / 3, rel=1e-4)
    references = model.atomic_energies_fn.atomic_energies.ravel().tolist()
    assert sorted(references) == pytest.approx(sorted(card.reference_energies.values()))


def test_a_saved_model_gives_the_same_energies_and_forces_in_an_ase_calculator(
    trained: tuple[Store, list[str], Card], water: Labels
) -> None:
    store, _, card = trained
    configurations = [f.configuration for f in water.accurate[:2]]
    energies, forces = predict(load_model(store, "water", card.model_id), configurations)
    calculator = load_calculator(store, "water", card.model_id, device="cpu")
    atoms = configurations[1].to_atoms()
    atoms.calc = calculator
    # Rounding of sums in double precision.
    assert atoms.get_potential_energy() == pytest.approx(energies[1], abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), forces[1], atol=1e-9)
    # The accurate level's reference energies are in it: the error is that of the interactions, not hundreds of eV.
    assert abs(energies - [f.energy for f in water.accurate[:2]]).max() < 5.0
    single = load_calculator(store, "water", card.model_id, device="cpu", dtype="float32")
    # Single precision holds 150 eV to about 1e-5 eV.
    assert predict(single, configurations)[0] == pytest.approx(energies, abs=1e-3)


def test_forces_of_a_trained_model_are_minus_the_finite_difference_of_its_energy(
    trained: tuple[Store, list[str], Card], water: Labels
) -> None:
    store, _, card = trained
    model = load_model(store, "water", card.model_id)
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
    for key in CARD_KEYS - {"created", "seconds", "core_seconds", "gpu_seconds", "model_sha256"}:
        assert getattr(card, key) == getattr(whole, key), key
    assert list(card.seconds) == order[1:]
    one, other = (load_model(s, "water", card.model_id) for s in (store, trained[0]))
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


def energy_only(frames: Sequence[LabelledFrame]) -> list[LabelledFrame]:
    return [dataclasses.replace(frame, forces=None) for frame in frames]


@pytest.mark.parametrize("strategy", mostly_long(get_args(Strategy), quick=["scratch", "corrected"]))
def test_every_strategy_trains_on_accurate_energies_alone(
    water: Labels, trained: tuple[Store, list[str], Card], tmp_path: Path, strategy: Strategy
) -> None:
    store = Store(tmp_path / "store")
    ids = fill(store, Labels(water.cheap, energy_only(water.accurate)))
    foundation = tmp_path / "foundation.model"
    foundation.write_bytes(trained[0].read(f"models/water/{trained[2].model_id}/model.model"))
    path = str(foundation) if strategy_named(strategy).starts_from == "foundation" else None
    settings = tiny_settings(gamma="auto", foundation=path)
    card = train(store, ids, strategy=strategy, settings=settings)
    assert card.valid_force_mae is None
    steps = {line.stage: line.step for line in card.history}
    phases = strategy_named(strategy).phases(settings)
    assert [phase.name for phase in phases if phase.name in steps or not phase.optional] == [*steps]
    assert all(phase.accurate or steps[phase.name] == phase.steps for phase in phases)
    assert all(steps.get(phase.name, 0) <= phase.steps for phase in phases)
    last = [line for line in card.history if line.stage == card.history[-1].stage]
    # Or better, where a fine-tuning only spoilt what it began with.
    assert card.valid_energy_mae <= min(line.valid_energy_mae for line in last)
    assert card.frames.energy_only == 12
    if strategy == "weighted":
        assert card.weights is not None
        assert all(c.valid_force_mae is None and c.valid_energy_mae is not None for c in card.weights.candidates)
        stored = store.read_json(paths.model("water", card.model_id, "card.json"))["weights"]["candidates"]
        assert {key for candidate in stored for key in candidate} == {"gamma", "valid_energy_mae"}
    assert read_card(store, "water", card.model_id) == card


def test_energies_alone_take_over_the_weight_of_the_forces(water: Labels, tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = fill(store, Labels(water.cheap, energy_only(water.accurate)))
    one, other = (
        train(store, ids, strategy="scratch", settings=tiny_settings(energy_weight=weight, forces_weight=100.0))
        for weight in (1.0, 100.0)
    )
    assert one.model_id != other.model_id
    assert one.history == other.history


@pytest.mark.long
def test_labels_with_and_without_forces_train_together_at_both_levels(water: Labels, tmp_path: Path) -> None:
    store = Store(tmp_path)
    accurate = [*energy_only(water.accurate[:10]), *water.accurate[10:]]
    ids = fill(store, Labels([*energy_only(water.cheap[:20]), *water.cheap[20:]], accurate))
    for strategy in ("unweighted", "weighted"):
        card = train(store, ids, strategy=strategy, train_ids=ids[4:12], valid_ids=[*ids[:2], *ids[12:14]])
        assert card.frames.energy_only == 8
        assert card.valid_force_mae > 0


def test_a_label_that_gains_forces_makes_another_model(water: Labels, tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = fill(store, Labels(water.cheap, energy_only(water.accurate)))
    options: dict[str, Any] = {"strategy": "scratch", "settings": tiny_settings(scratch_steps=1, evaluate_every=1)}
    before = train(store, ids, **options)
    fill(store, water)
    after = train(store, ids, **options)
    assert after.model_id != before.model_id
    assert after.frames.energy_only == 0


@pytest.mark.long
def test_energies_alone_mend_the_forces_of_a_model_of_another_level(water: Labels, tmp_path: Path) -> None:
    # A cheap level with half of every interaction; the model sees its forces, and no other.
    cheap = [dataclasses.replace(f, energy=f.energy / 2, forces=np.array(f.forces) / 2) for f in water.accurate]
    store = Store(tmp_path)
    ids = fill(store, Labels(cheap, energy_only(water.accurate)))
    settings = tiny_settings(pretrain_steps=150, finetune_steps=150, learning_rate=0.02, evaluate_every=50)
    # One step of a vanishing rate is no fine-tuning at all.
    none = settings.model_copy(update={"finetune_steps": 1, "finetune_learning_rate": 1e-12, "evaluate_every": 1})
    errors = []
    for chosen in (none, settings):
        options: dict[str, Any] = {"train_ids": ids[:20], "valid_ids": ids[20:24], "cheap_ids": ids[:32]}
        card = train(store, ids, strategy="unweighted", settings=chosen, **options)
        test = water.accurate[32:]
        _, forces = predict(load_model(store, "water", card.model_id), [f.configuration for f in test])
        errors.append(np.mean([np.abs(f - np.array(t.forces)).mean() for f, t in zip(forces, test, strict=True)]))
    assert errors[1] < 0.7 * errors[0], errors


def test_a_model_opens_without_asteroid_knowing_where_it_came_from(trained: tuple[Store, list[str], Card]) -> None:
    from mace.calculators import MACECalculator

    store, _, card = trained
    path = Path(store.location(f"models/water/{card.model_id}/model.model"))
    calculator = MACECalculator(model_paths=str(path), device="cpu", default_dtype="float64")
    assert calculator.r_max == 3.0
    assert torch.load(io.BytesIO(path.read_bytes()), weights_only=False).heads == ["Default"]


@pytest.fixture
def copied(trained: tuple[Store, list[str], Card], tmp_path: Path) -> tuple[Store, list[str], Card]:
    """A copy of the store that may be damaged."""
    store, ids, card = trained
    shutil.copytree(store.location(""), tmp_path / "copy")
    return Store(tmp_path / "copy"), ids, card


def test_a_model_with_one_other_byte_is_refused(copied: tuple[Store, list[str], Card]) -> None:
    store, _, card = copied
    path = Path(store.location(paths.model("water", card.model_id)))
    whole = path.read_bytes()
    # Every part of the file: about a hundred places, and both ends.
    for place in {*range(0, len(whole), len(whole) // 100), len(whole) - 1}:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(StoreError, match=r"model\.model is damaged or foreign .* run again"):
            load_model(store, "water", card.model_id)
    path.write_bytes(whole)
    load_model(store, "water", card.model_id)


class Touch:
    """Pickled as a call of ``os.system``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_a_model_with_code_is_refused_in_one_line_and_runs_nothing(
    copied: tuple[Store, list[str], Card], tmp_path: Path
) -> None:
    store, _, card = copied
    place = paths.model("water", card.model_id)
    buffer = io.BytesIO()
    torch.save(Touch(tmp_path / "mark"), buffer)
    store.write(place, buffer.getvalue())
    # Whoever writes the file can write the hash, too.
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    records.write(
        store,
        paths.model("water", card.model_id, "card.json"),
        dataclasses.replace(card, model_sha256=digest),
    )
    with pytest.raises(StoreError, match=r"model\.model is damaged or foreign \(it names posix\.system") as refused:
        load_model(store, "water", card.model_id)
    assert store.location(place) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "mark").exists()


def test_a_model_of_another_card_is_refused(copied: tuple[Store, list[str], Card]) -> None:
    store, _, card = copied
    teacher = card.parents["teacher"]
    for name in ("model.model", "card.json"):
        store.write(paths.model("water", teacher, name), store.read(paths.model("water", card.model_id, name)))
    with pytest.raises(StoreError, match=rf"its card is that of model {card.model_id}"):
        load_calculator(store, "water", teacher, device="cpu")
    # A card without a hash, as earlier versions wrote them, says nothing of the file: the file does.
    records.write(
        store,
        paths.model("water", teacher, "card.json"),
        dataclasses.replace(card, model_id=teacher, model_sha256=None),
    )
    with pytest.raises(StoreError, match=rf"it is model {card.model_id}"):
        load_model(store, "water", teacher)


@pytest.mark.long
def test_a_damaged_model_that_was_moved_away_is_trained_again(copied: tuple[Store, list[str], Card]) -> None:
    store, ids, card = copied
    before = list(load_model(store, "water", card.model_id).parameters())
    for model_id in (card.model_id, card.parents["teacher"]):
        store.remove(paths.model("water", model_id))
        with pytest.raises(StoreError, match="is missing; put it back, or run again"):
            load_model(store, "water", model_id)
    assert train(store, ids).model_id == card.model_id
    after = load_model(store, "water", card.model_id).parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    store.remove(paths.model("water", card.parents["teacher"]))
    assert train(store, ids) == read_card(store, "water", card.model_id)
    load_model(store, "water", card.parents["teacher"])


def test_a_model_of_an_earlier_version_still_loads(copied: tuple[Store, list[str], Card]) -> None:
    store, _, card = copied
    path = paths.model("water", card.model_id, "card.json")
    later = {"molecules", "training_set", "adds_to", "compositions", "energy_shift", "baseline", "correction"}
    later |= {"gpu_seconds", "valid_energy_mae", "model_sha256"}
    stored = store.read_json(path)
    for key in ("paired", "configurations", "energy_only"):
        del stored["frames"][key]
    store.write_json(path, {key: value for key, value in stored.items() if key not in later})
    load_model(store, "water", card.model_id)
    old = read_card(store, "water", card.model_id)
    assert (old.molecules, old.history, old.weights) == (("water",), card.history, card.weights)


def test_core_seconds_are_cpu_seconds_of_all_processes_of_a_training_whatever_the_threads(
    water: Labels, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    ids = fill(store, water)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        used = []
        for kill in (True, False):
            began = time.process_time()
            with pytest.raises(Killed) if kill else contextlib.nullcontext():
                card = train(store, ids, strategy="scratch", on_progress=Killer("scratch", 20) if kill else None)
            used.append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    # It was killed right after its last evaluation, with nothing left to learn.
    assert 0.7 * sum(used) < card.core_seconds <= sum(used)
    assert card.core_seconds > used[1]
    assert card.gpu_seconds == 0
