"""Corrected labels: what a few pairs make of many cheap labels, one level at a time."""

import dataclasses
import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asteroid.configuration import Configuration
from asteroid.errors import TrainingError
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.checkpoints import StoredCheckpoints
from asteroid.store.models import Card
from asteroid.store.rows import Attempt
from asteroid.strategies import Phase
from asteroid.training.blend import Correction, blend, train_network, wants_network
from asteroid.training.correction import learn_alone, learn_steps, lift, remove_outliers
from asteroid.training.dataset import LabelledFrame
from asteroid.training.held_out import HeldOut
from asteroid.training.kernel import KernelModel
from asteroid.training.objectives import LabelLoss, Model, Tensors
from asteroid.training.predict import predict
from asteroid.training.problem import Problem
from asteroid.training.run import load_model
from asteroid.training.session import Session
from asteroid.training.steps import pretrain, restart
from asteroid.training.strategies.delta import differences
from tests.training.conftest import ACCURATE, CHEAP, Labels, fill, tiny_settings, train_model

ENERGIES = LevelOfTheory.parse("hf/sto-3g")
"""Stands for a level with energies alone."""


def by_id(frames: list[LabelledFrame]) -> dict[str, LabelledFrame]:
    return {frame.frame_id: frame for frame in frames}


def force_mae(frames: list[LabelledFrame], truth: list[LabelledFrame]) -> float:
    known = by_id(truth)
    errors = [np.abs(f.forces - known[f.frame_id].forces).mean() for f in frames if f.forces is not None]
    return float(np.mean(errors))


def test_ten_pairs_move_cheap_labels_most_of_the_way_to_the_accurate_level(water: Labels) -> None:
    levels = [by_id(water.cheap), by_id(water.accurate[:10])]
    labels, _ = lift(levels, learn_steps(levels))
    assert force_mae(labels, water.accurate) < 0.1 * force_mae(water.cheap, water.accurate)


def test_accurate_labels_take_the_place_of_corrected_ones(water: Labels) -> None:
    levels = [by_id(water.cheap), by_id(water.accurate[:10])]
    labels = by_id(lift(levels, learn_steps(levels))[0])
    assert len(labels) == len(water.cheap)
    for frame in water.accurate[:10]:
        assert labels[frame.frame_id] is frame


def test_far_from_all_pairs_a_label_keeps_to_the_cheap_level_and_weighs_half(water: Labels) -> None:
    positions = water.cheap[0].configuration.positions * [[3.0]]
    far = dataclasses.replace(water.cheap[0], configuration=water.cheap[0].configuration.with_positions(positions))
    levels = [by_id([*water.cheap, far]), by_id(water.accurate[:10])]
    kernels = learn_steps(levels)
    labels, faded = lift(levels, kernels)
    extrapolated, none = lift(levels, kernels, fade=False)
    assert (faded, none) == (1, 0)
    for label, same in zip(labels[:-1], extrapolated[:-1], strict=True):
        assert label.energy == same.energy
        np.testing.assert_array_equal(label.forces, same.forces)
        assert 0.5 < label.weight <= 1
    assert np.median([label.weight for label in labels]) > 0.98
    learnt = [pair.energy for pair in differences(water.accurate[:10], by_id(water.cheap))]
    assert abs(labels[-1].energy - far.energy - np.mean(learnt)) < 2 * np.std(learnt, ddof=1)
    assert labels[-1].weight == pytest.approx(0.5)
    assert extrapolated[-1].weight == 1


def test_a_level_in_between_that_has_more_labels_halves_the_error(water: Labels) -> None:
    # Between the levels: what GFN2 says, softened by a smooth and simple error of its own.
    between = [
        dataclasses.replace(frame, energy=0.99 * frame.energy, forces=0.99 * frame.forces)
        for frame in water.accurate
        if frame.forces is not None
    ]
    two = [by_id(water.cheap), by_id(water.accurate[:5])]
    three = [by_id(water.cheap), by_id(between[:30]), by_id(water.accurate[:5])]
    direct, climbed = (force_mae(lift(levels, learn_steps(levels))[0], water.accurate) for levels in (two, three))
    assert climbed < 0.5 * direct


def test_levels_that_share_no_frames_cannot_be_corrected(water: Labels) -> None:
    with pytest.raises(TrainingError, match="neighbouring levels"):
        learn_steps([by_id(water.cheap[:10]), by_id(water.accurate[20:])])


def test_cheap_labels_without_forces_gain_only_a_corrected_energy(water: Labels) -> None:
    cheap = [*water.cheap[:10], *(dataclasses.replace(frame, forces=None) for frame in water.cheap[10:])]
    levels = [by_id(cheap), by_id(water.accurate[:10])]
    labels, _ = lift(levels, learn_steps(levels))
    truth = by_id(water.accurate)
    for frame in labels[10:]:
        assert frame.forces is None
    offsets = [frame.energy - truth[frame.frame_id].energy for frame in labels]
    assert np.abs(offsets).max() < 0.1


@pytest.mark.long
def test_a_ladder_in_the_store_trains_another_model_and_its_card_names_each_step(water: Labels, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    ids = fill(store, water)
    level = LevelOfTheory.parse("hf/sto-3g")
    attempts = [
        Attempt(frame_id=f.frame_id, status="ok", energy=f.energy, forces=f.forces, time=store_time())
        for f in water.accurate[:20]
    ]
    store.add_attempts("water", level, attempts)
    cards = [
        train_model(
            store,
            "water",
            strategy="corrected",
            cheap=CHEAP,
            accurate=ACCURATE,
            train_ids=ids[:8],
            valid_ids=ids[8:12],
            cheap_ids=[*ids[:8], *ids[12:]],
            settings=tiny_settings(ladder=ladder),
        )
        for ladder in ((), ("hf/sto-3g",))
    ]
    assert cards[0].model_id != cards[1].model_id
    assert [step["labels"] for step in cards[0].correction.steps] == [8]
    # Of the twenty, those of held-out frames have no part.
    assert [step["labels"] for step in cards[1].correction.steps] == [16, 8]
    assert cards[0].correction.valid_force_mae < 0.2 * cards[0].correction.raw_force_mae


def test_broken_cheap_labels_are_not_used(water: Labels, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    order = random.permutation(len(water.cheap))
    # Each configuration has the cheap label of another.
    broken = [
        dataclasses.replace(frame, energy=water.cheap[i].energy, forces=water.cheap[i].forces)
        for frame, i in zip(water.cheap, order, strict=True)
    ]
    store = Store(tmp_path / "store")
    ids = fill(store, Labels(broken, water.accurate))
    card = train_model(
        store,
        "water",
        strategy="corrected",
        cheap=CHEAP,
        accurate=ACCURATE,
        train_ids=ids[:15],
        valid_ids=ids[15:20],
        cheap_ids=[*ids[:15], *ids[20:]],
        settings=tiny_settings(),
    )
    assert card.correction.alone
    assert card.correction.faded == 0  # there is no level below
    assert card.correction.valid_force_mae < 0.1 * card.correction.raw_force_mae


def test_a_kernel_is_asked_about_no_other_molecule(water: Labels) -> None:
    levels = [by_id(water.cheap), by_id(water.accurate[:5])]
    corrections = learn_steps(levels)
    other = LabelledFrame(Configuration([1, 1], [[0, 0, 0], [0, 0, 0.74]]), -31.0, np.zeros((2, 3)))
    with pytest.raises(TrainingError, match="order"):
        lift([by_id([other]), {}], corrections)


def store_time() -> dt.datetime:
    return dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_an_accurate_energy_without_forces_leaves_the_corrected_forces_in_place(water: Labels) -> None:
    bare = [dataclasses.replace(frame, forces=None) for frame in water.accurate[:5]]
    levels = [by_id(water.cheap), by_id([*bare, *water.accurate[5:15]])]
    labels = by_id(lift(levels, learn_steps(levels))[0])
    truth = by_id(water.accurate)
    for frame in bare:
        assert labels[frame.frame_id].energy == frame.energy
        assert force_mae([labels[frame.frame_id]], [truth[frame.frame_id]]) < 0.2


def test_exchanged_cheap_labels_are_set_aside_and_sound_ones_are_kept(water: Labels) -> None:
    accurate = by_id(water.accurate[:20])
    # The last three have one another's labels; no pair has such a one.
    exchanged = zip(water.cheap[-3:], [*water.cheap[-2:], water.cheap[-3]], strict=True)
    swapped = [dataclasses.replace(f, energy=other.energy, forces=other.forces) for f, other in exchanged]
    found = []
    for cheap in (water.cheap, [*water.cheap[:-3], *swapped]):
        levels = [by_id(cheap), accurate]
        labels, _ = lift(levels, learn_steps(levels))
        kept, count = remove_outliers(labels, *levels, learn_alone(*levels))
        found.append({f.frame_id for f in labels} - {f.frame_id for f in kept})
        assert count == len(found[-1])
    sound, broken = found
    # The kernel extrapolates to the widest displacement, and one sound label may look wrong to it.
    assert len(sound) <= 1
    assert broken - sound == {f.frame_id for f in swapped}


def test_a_kernel_that_leaves_a_part_of_the_difference_asks_for_a_network(water: Labels) -> None:
    pairs = differences(water.accurate, by_id(water.cheap))
    assert not wants_network(KernelModel(pairs), pairs)
    assert wants_network(KernelModel(pairs[:3]), pairs[:3])
    bare = [dataclasses.replace(pair, forces=None) for pair in pairs[:3]]
    assert not wants_network(KernelModel(bare), bare)


@pytest.mark.long
def test_a_blend_is_no_worse_on_held_out_frames_than_its_kernel(water: Labels, tmp_path: Path) -> None:
    pairs = differences(water.accurate, by_id(water.cheap))
    train, held_out = pairs[:4], pairs[4:10]
    keeper = StoredCheckpoints(Store(tmp_path / "store"), "checkpoints/water/m")
    settings = tiny_settings(correction_steps=60)
    session = Session(settings, water.accurate[:4], water.accurate[4:10], [1, 8], checkpoints=keeper)
    kernel = KernelModel(train)
    mixed = blend(kernel, train_network(session, train, held_out), held_out)

    def error(correction: Correction) -> float:
        _, forces = correction.predict([frame.configuration for frame in held_out])
        return float(np.mean([np.abs(f - t.forces).mean() for f, t in zip(forces, held_out, strict=True)]))

    assert error(mixed) <= error(kernel)
    halves = [error(dataclasses.replace(mixed, part=part)) for part in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert error(mixed) == min(halves)
    assert halves[0] == pytest.approx(error(kernel), rel=1e-12)
    # The network alone knows the level of the differences, tens of eV above that of the labels.
    energies, _ = predict(mixed.network, [frame.configuration for frame in train])
    assert np.abs(energies - [frame.energy for frame in train]).max() < 1.0


def test_a_model_is_pretrained_further_while_its_held_out_error_is_above_the_limit(
    water: Labels, tmp_path: Path
) -> None:
    train, held_out = water.accurate[:20], water.accurate[20:26]
    problem = Problem(train, held_out, [], tiny_settings(warm_restarts=2))
    keeper = StoredCheckpoints(Store(tmp_path / "store"), "checkpoints/water/m")
    session = Session(problem.settings, train, held_out, [1, 8], checkpoints=keeper)
    model = pretrain(problem, session, train, accurate=True)
    reached = session.results["pretrain"].held_out.force_mae
    assert reached is not None
    restart(problem, session, model, train, above=reached)
    assert list(session.results) == ["pretrain"]
    restart(problem, session, model, train, above=0.0)
    assert list(session.results) == ["pretrain", "pretrain-2", "pretrain-3"]
    errors = [result.held_out.force_mae for result in session.results.values()]
    assert errors == sorted(errors, reverse=True)


def test_a_model_that_is_worse_than_its_corrected_labels_is_pretrained_further_unless_it_started_from_another(
    water: Labels, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    ids = fill(store, water)
    data = {"train_ids": ids[:8], "valid_ids": ids[8:12], "cheap_ids": ids[:8] + ids[12:]}
    levels = {"cheap": CHEAP, "accurate": ACCURATE}

    def trained(start: str | None = None) -> Card:
        return train_model(
            store, "water", **levels, strategy="corrected", settings=tiny_settings(), start=start, **data
        )

    card = trained()
    assert "pretrain-2" in card.seconds
    assert "pretrain-2" not in trained(start=card.model_id).seconds


class Witness:
    """The usual loss, which keeps what it is shown of the forces."""

    needs_noise: bool = False

    def __init__(self) -> None:
        self.forces_weights: list[float] = []
        self.forces: list[float] = []

    def __call__(self, forward: Model, batch: Tensors) -> torch.Tensor:
        self.forces_weights += batch["forces_weight"].tolist()
        self.forces.append(float(batch["forces"].abs().max()))
        return LabelLoss(1.0, 100.0)(forward, batch)


def test_energies_alone_that_follow_corrected_labels_of_the_same_energy_see_no_forces(
    water: Labels, tmp_path: Path
) -> None:
    energies = [dataclasses.replace(frame, forces=None) for frame in water.accurate[:8]]
    # As pretraining on corrected labels sees them: accurate energies with forces from below.
    lifted = lift([by_id(water.cheap[:12]), by_id(energies)], learn_steps([by_id(water.cheap), by_id(energies)]))[0]
    checkpoints = StoredCheckpoints(Store(tmp_path), "checkpoints/water/test")
    settings = tiny_settings()
    session = Session(settings, energies, water.accurate[12:16], [1, 8], checkpoints=checkpoints)
    model = session.new_model(lifted)
    seen = []
    for name, frames in (("pretrain", lifted), ("finetune", energies), ("again", lifted)):
        witness = Witness()
        phase = Phase(name, steps=2, batch_size=8, accurate=True)
        session.fit(phase, model, frames, learning_rate=1e-3, objective=witness)
        seen.append((set(witness.forces_weights), max(witness.forces) > 0))
    assert seen == [({1.0}, True), ({0.0}, False), ({1.0}, True)]


@pytest.mark.long
def test_a_training_on_energies_killed_after_its_pretraining_continues_to_the_very_same_model(
    water: Labels, tmp_path: Path
) -> None:
    ids = [frame.frame_id for frame in water.accurate]

    def run(store: Store, **options: Any) -> Card:
        arguments: dict[str, Any] = {
            "strategy": "corrected",
            "train_ids": ids[:4],
            "valid_ids": ids[4:6],
            "cheap_ids": ids[:12],
            "settings": tiny_settings(pretrain_steps=2, finetune_steps=4, evaluate_every=2),
            **options,
        }
        return train_model(store, "water", cheap=CHEAP, accurate=ENERGIES, **arguments)

    store = Store(tmp_path / "whole")
    fill(store, water)
    attempts = [
        Attempt(frame_id=f.frame_id, status="ok", energy=f.energy, time=store_time()) for f in water.accurate[:6]
    ]
    store.add_attempts("water", ENERGIES, attempts)
    # A training that is resumed from another model asks for no graph before the first stage that is left.
    start = run(store, strategy="scratch", settings=tiny_settings(scratch_steps=1, evaluate_every=1)).model_id
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    killed = Store(tmp_path / "killed")
    with pytest.raises(Killed):
        run(killed, start=start, on_progress=die_before_finetuning)
    cards = [run(each, start=start) for each in (store, killed)]
    assert cards[0].model_id == cards[1].model_id
    assert cards[0].history == cards[1].history
    one, other = (load_model(each, "water", cards[0].model_id).parameters() for each in (store, killed))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Killed(Exception):
    """Stands for the end of the process."""


def die_before_finetuning(stage: str, step: int, steps: int, held_out: HeldOut | None) -> None:
    if (stage, step) == ("finetune", 0):
        raise Killed
