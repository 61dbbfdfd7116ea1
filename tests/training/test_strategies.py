"""What each strategy learns from, beyond what :mod:`tests.training.test_run` says of all of them."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asteroid.errors import InputError, TrainingError
from asteroid.labelling.apart import LabellerApart
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.checkpoints import StoredCheckpoints
from asteroid.store.models import Card, read_card
from asteroid.training.bias import split_weights
from asteroid.training.dataset import LabelledFrame, collate, to_graph
from asteroid.training.held_out import HeldOut
from asteroid.training.inputs import teacher_seeds
from asteroid.training.model import extract_head
from asteroid.training.predict import predict
from asteroid.training.run import load_calculator, load_model
from asteroid.training.session import Session
from asteroid.training.strategies.delta import differences
from asteroid.training.strategies.weighted import mean_forces
from tests.mace_files.models import assert_same, file_of, foreign
from tests.training.conftest import train_model

from .conftest import ACCURATE, CHEAP, Labels, fill, tiny_settings


def train(store: Store, ids: list[str], strategy: Any, **options: Any) -> Card:
    arguments: dict[str, Any] = {
        "cheap": CHEAP,
        "train_ids": ids[:8],
        "valid_ids": ids[8:12],
        "cheap_ids": ids[:8] + ids[12:],
        "settings": tiny_settings(),
        **options,
    }
    return train_model(store, "water", strategy=strategy, accurate=ACCURATE, **arguments)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def force_mae(model: torch.nn.Module, frames: list[LabelledFrame]) -> float:
    _, forces = predict(model, [frame.configuration for frame in frames])
    return float(np.mean([np.abs(f - np.array(frame.forces)) for f, frame in zip(forces, frames, strict=True)]))


# delta


@pytest.fixture(scope="module")
def delta(water: Labels, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Card]:
    store = Store(tmp_path_factory.mktemp("store"))
    ids = fill(store, water)
    return store, train(store, ids, "delta", settings=tiny_settings(scratch_steps=60))


@pytest.mark.long
def test_the_held_out_error_of_delta_is_that_of_the_difference_of_the_levels(
    delta: tuple[Store, Card], water: Labels
) -> None:
    store, card = delta
    pairs = zip(water.accurate[8:12], water.cheap[8:12], strict=True)
    held_out = [dataclasses.replace(a, forces=np.array(a.forces) - np.array(c.forces)) for a, c in pairs]
    assert card.valid_force_mae == pytest.approx(force_mae(load_model(store, "water", card.model_id), held_out))
    assert (card.adds_to, card.cheap) == ("gfn1-xtb", "gfn1-xtb")
    assert (card.frames.cheap, card.frames.paired) == (0, 12)


def test_a_constant_between_the_levels_is_nothing_to_learn(water: Labels, tmp_path: Path) -> None:
    shifted = Labels([dataclasses.replace(f, energy=f.energy - 1000.0) for f in water.cheap], water.accurate)
    stores = (Store(tmp_path / "one"), Store(tmp_path / "other"))
    one, other = (train(s, fill(s, labels), "delta") for s, labels in zip(stores, (water, shifted), strict=True))
    assert one.model_id != other.model_id
    # 1000 eV leave 13 of 16 digits of a relative energy, and the first eigenvectors of the optimiser, of which some are
    # arbitrary, hang on the last ones: two trainings, but not of two problems.
    assert one.valid_force_mae == pytest.approx(other.valid_force_mae, rel=0.5)
    assert one.valid_energy_mae == pytest.approx(other.valid_energy_mae, abs=0.02)


def test_differences_need_both_labels_and_have_forces_where_both_do(water: Labels, store: Store) -> None:
    energy_only = dataclasses.replace(water.cheap[1], forces=None)
    found = differences(water.accurate[:3], {f.frame_id: f for f in (water.cheap[0], energy_only)})
    assert [f.frame_id for f in found] == [f.frame_id for f in water.accurate[:2]]
    np.testing.assert_array_equal(found[0].forces, np.array(water.accurate[0].forces) - np.array(water.cheap[0].forces))
    assert found[0].energy == water.accurate[0].energy - water.cheap[0].energy
    assert found[1].forces is None
    ids = fill(store, Labels(water.cheap[12:], water.accurate))
    with pytest.raises(TrainingError, match="0 labels at both gfn2-xtb and gfn1-xtb"):
        train(store, ids, "delta")


def test_a_delta_calculator_is_the_model_and_the_cheap_method_together(
    delta: tuple[Store, Card], water: Labels
) -> None:
    store, card = delta
    frame, cheap = water.accurate[20], water.cheap[20]
    energies, forces = predict(load_model(store, "water", card.model_id), [frame.configuration])
    atoms = frame.configuration.to_atoms()
    atoms.calc = load_calculator(store, "water", card.model_id, device="cpu")
    # tblite's own convergence, about 1e-8 eV and 1e-6 eV/Å.
    assert atoms.get_potential_energy() == pytest.approx(cheap.energy + energies[0], abs=1e-6)
    np.testing.assert_allclose(atoms.get_forces(), np.array(cheap.forces) + forces[0], atol=1e-5)
    # What it is for: closer to the accurate level than the cheap method is.
    without = np.abs(np.array(cheap.forces) - np.array(frame.forces)).mean()
    assert np.abs(atoms.get_forces() - np.array(frame.forces)).mean() < without


def test_forces_of_a_delta_calculator_are_minus_the_finite_difference_of_its_energy(
    delta: tuple[Store, Card], water: Labels
) -> None:
    store, card = delta
    atoms = water.accurate[3].configuration.to_atoms()
    atoms.calc = load_calculator(store, "water", card.model_id, device="cpu")
    forces = atoms.get_forces()
    step = 1e-3
    for atom, axis in ((0, 0), (1, 1), (2, 2)):
        energies = []
        for sign in (1, -1):
            atoms.positions[atom, axis] += sign * step
            energies.append(atoms.get_potential_energy())
            atoms.positions[atom, axis] -= sign * step
        # An energy converged to 1e-8 eV over 2e-3 Å, and step² times a third derivative of about 100 eV/Å³.
        assert forces[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=2e-4)


def test_a_delta_model_of_imported_labels_says_why_it_has_no_calculator(water: Labels, store: Store) -> None:
    imported = LevelOfTheory.parse("mace-off23", imported=True)
    ids = fill(store, water, cheap=imported)
    card = train(store, ids, "delta", cheap=imported)
    with pytest.raises(InputError, match="adds to 'mace-off23', whose labels were imported"):
        load_calculator(store, "water", card.model_id, device="cpu")


# multihead


@pytest.mark.long
def test_the_accurate_head_is_what_is_judged_and_saved(water: Labels, store: Store) -> None:
    ids = fill(store, water)
    card = train(store, ids, "multihead")
    model = load_model(store, "water", card.model_id)
    assert model.heads == ["Default"]
    assert card.valid_force_mae == pytest.approx(force_mae(model, water.accurate[8:12]), rel=1e-9)
    assert {line.stage for line in card.history} == {"multihead"}
    assert card.history[-1].step == 40, "as many steps as pretraining and fine-tuning have together"
    atoms = water.accurate[0].configuration.to_atoms()
    atoms.calc = load_calculator(store, "water", card.model_id, device="cpu")
    assert abs(atoms.get_potential_energy() - water.accurate[0].energy) < 5.0


@pytest.mark.long
@pytest.mark.parametrize("head", [0, 1])
def test_an_extracted_head_equals_that_head_of_the_whole_model(water: Labels, store: Store, head: int) -> None:
    accurate = water.accurate[:6]
    cheap = [dataclasses.replace(f, head=1, forces=2.5 * np.array(f.forces)) for f in water.cheap[:6]]
    checkpoints = StoredCheckpoints(store, "checkpoints/water/0")
    settings = tiny_settings(model=tiny_settings().model.model_copy(update={"interactions": 3}))
    session = Session(settings, accurate, accurate, [1, 8], checkpoints=checkpoints)
    whole: Any = session.new_model([*accurate, *cheap])
    assert whole.scale_shift.scale[1] > 2 * whole.scale_shift.scale[0], "each head has the scale of its level"
    single = extract_head(copy.deepcopy(whole), head)
    graphs = [to_graph(f.configuration, numbers=[1, 8], r_max=3.0, dtype=torch.float64) for f in accurate]
    outputs = []
    for model, which in ((whole, head), (single, 0)):
        for graph in graphs:
            graph.head = torch.tensor(which)
        outputs.append(model(collate(graphs).to_dict()))
    # Sums in another order, in double precision.
    for key in ("energy", "forces"):
        torch.testing.assert_close(outputs[0][key], outputs[1][key], rtol=1e-10, atol=1e-12)


@pytest.mark.long
def test_two_heads_learn_two_levels_that_one_model_could_not(water: Labels, store: Store) -> None:
    # Opposite forces: what a single head learns of one level is wrong for the other.
    cheap = [dataclasses.replace(f, energy=-f.energy, forces=-np.array(f.forces)) for f in water.accurate]
    ids = fill(store, Labels(cheap, water.accurate))
    settings = tiny_settings(pretrain_steps=100, finetune_steps=100, evaluate_every=50, learning_rate=0.02)
    card = train(store, ids, "multihead", settings=settings)
    nothing = np.mean([np.abs(np.array(f.forces)) for f in water.accurate[8:12]])
    assert card.valid_force_mae < 0.5 * nothing


# foundation


@pytest.fixture(scope="module")
def started_from(water: Labels, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Card]:
    """A model that a user might have, and its card."""
    store = Store(tmp_path_factory.mktemp("store"))
    card = train(store, fill(store, water), "scratch")
    path = tmp_path_factory.mktemp("models") / "foundation.model"
    path.write_bytes(store.read(f"models/water/{card.model_id}/model.model"))
    return str(path), card


@pytest.mark.parametrize("strategy", ["foundation", "unweighted"])
def test_a_foundation_model_is_where_training_starts(
    water: Labels, store: Store, started_from: tuple[str, Card], strategy: str
) -> None:
    ids = fill(store, water)
    path, start = started_from
    # One step of a vanishing rate changes nothing: the error is that of the model it started from.
    settings = tiny_settings(
        foundation=path,
        **dict.fromkeys(("scratch_steps", "pretrain_steps", "finetune_steps", "evaluate_every"), 1),
        learning_rate=1e-9,
        finetune_learning_rate=1e-9,
    )
    card = train(store, ids, strategy, settings=settings)
    assert card.valid_force_mae == pytest.approx(start.valid_force_mae, rel=1e-3)
    assert card.cheap == (None if strategy == "foundation" else "gfn1-xtb")


def test_a_model_trained_from_an_architecture_of_others_is_read_as_the_pickle_would_give_it(
    water: Labels, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "foundation.model"
    options = {"first": "RealAgnosticDensityInteractionBlock", "pair_repulsion": True, "distance_transform": "Agnesi"}
    path.write_bytes(file_of(foreign(torch.float32, **options)))
    settings = tiny_settings(foundation=str(path), scratch_steps=1, evaluate_every=1, precision="float32")
    card = train(store, fill(store, water), "foundation", settings=settings)
    assert_same(store.read(f"models/water/{card.model_id}/model.model"))
    load_model(store, "water", card.model_id)


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["scratch", "delta", "multihead"])
def test_a_strategy_that_starts_from_random_weights_does_so_whatever_model_there_is(
    water: Labels, store: Store, started_from: tuple[str, Card], strategy: str
) -> None:
    ids = fill(store, water)
    with_model = train(store, ids, strategy, settings=tiny_settings(foundation=started_from[0]))
    assert with_model.settings["foundation"] is None
    assert train(store, ids, strategy).model_id == with_model.model_id


def test_fine_tuning_without_a_model_to_fine_tune_is_one_line(water: Labels, store: Store, tmp_path: Path) -> None:
    ids = fill(store, water)
    with pytest.raises(InputError, match="foundation: found nothing, with the strategy foundation; write the path"):
        train(store, ids, "foundation")
    for strategy in ("foundation", "weighted"):
        with pytest.raises(InputError, match="not a file"):
            train(store, ids, strategy, settings=tiny_settings(foundation=str(tmp_path / "absent")))


# weights per atom, several teachers


@pytest.mark.long
def test_the_forces_of_a_broken_atom_are_ignored_and_those_of_its_neighbours_kept(water: Labels, store: Store) -> None:
    # The second hydrogen is wrong by 20 eV/Å everywhere, which outweighs the error of any teacher.
    wrong = np.array([[0.0], [0.0], [20.0]])
    spoilt = [dataclasses.replace(f, forces=np.array(f.forces) + wrong) for f in water.accurate]
    ids = fill(store, Labels(spoilt, water.accurate))
    card = train(store, ids, "weighted", settings=tiny_settings(weights="atom", gamma=1.0))
    within = np.array(card.weights.atoms)
    frames = np.array(card.weights.values)
    assert within.shape == (36, 3)
    assert within[:, 2].max() < 1e-3 * within[:, :2].min()
    np.testing.assert_allclose(within.mean(axis=1), 1.0)
    assert (frames[:, None] * within).mean() == pytest.approx(1.0)
    by_frame = train(store, ids, "weighted", settings=tiny_settings(gamma=1.0))
    assert by_frame.weights.atoms is None
    assert by_frame.model_id != card.model_id
    # It was pretrained on the forces of the other atoms alone: their error is the smaller for it.
    pretrained = [next(e for e in c.history[::-1] if e.stage == "pretrain") for c in (card, by_frame)]
    assert pretrained[0].valid_force_mae < 0.5 * pretrained[1].valid_force_mae


def test_frame_and_atom_weights_multiply_to_the_weight_of_the_atom() -> None:
    weights = np.random.default_rng(0).exponential(size=9)
    frames, within = split_weights(weights, [2, 4, 3])
    np.testing.assert_allclose(np.repeat(frames, [2, 4, 3]) * np.concatenate(within), weights)
    lost, within = split_weights(np.array([0.0, 0.0, 3.0]), [2, 1])
    assert lost.tolist() == [0.0, 3.0]
    assert all(np.isfinite(part).all() for part in within)


@pytest.mark.long
def test_a_committee_of_teachers_is_several_seeds_of_scratch_and_its_mean_estimates_the_bias(
    water: Labels, store: Store
) -> None:
    ids = fill(store, water)
    few = {"pretrain_steps": 4, "finetune_steps": 4, "evaluate_every": 4, "seed": 5}
    card = train(store, ids, "weighted", settings=tiny_settings(teachers=3, **few))
    assert list(card.parents) == ["teacher", "teacher-2", "teacher-3"]
    teachers = [read_card(store, "water", model_id) for model_id in card.parents.values()]
    assert [t.strategy for t in teachers] == ["scratch"] * 3
    assert [t.seed for t in teachers] == teacher_seeds(tiny_settings(teachers=3, **few))
    assert train(store, ids, "scratch", settings=tiny_settings(**few)).model_id == card.parents["teacher"]
    models = [load_model(store, "water", t.model_id) for t in teachers]
    cheap = sorted((*water.cheap[:8], *water.cheap[12:]), key=lambda f: f.frame_id)
    configurations = [f.configuration for f in cheap]
    mean = sum(np.array(predict(m, configurations)[1]) for m in models) / 3
    np.testing.assert_allclose(mean_forces(models, configurations), mean, atol=1e-12)
    expected = np.abs(mean - np.array([f.forces for f in cheap])).mean(axis=(1, 2))
    # Teachers estimate in the precision they were saved in, which is double here.
    np.testing.assert_allclose(card.weights.disagreement, expected, rtol=1e-6)


def test_teachers_of_different_seeds_share_no_random_weights() -> None:
    found = [seed for own in range(100) for seed in teacher_seeds(tiny_settings(teachers=4, seed=own))]
    assert len(set(found)) == len(found)
    assert all(teacher_seeds(tiny_settings(teachers=4, seed=own))[0] == own for own in range(100))
    # Fewer teachers are the first of more.
    assert teacher_seeds(tiny_settings(teachers=4))[:2] == teacher_seeds(tiny_settings(teachers=2))


# what names a model


@pytest.mark.parametrize(
    ("strategy", "others"),
    [
        ("scratch", {"gamma": 0.7, "batch_size": 3, "finetune_learning_rate": 1e-4, "teachers": 2, "weights": "atom"}),
        ("unweighted", {"gamma": 0.7, "scratch_steps": 7, "teachers": 2, "weights": "atom"}),
        ("delta", {"gamma": 0.7, "batch_size": 3, "finetune_learning_rate": 1e-4, "teachers": 2}),
        pytest.param(
            "multihead",
            {"gamma": 0.7, "finetune_batch_size": 3, "finetune_learning_rate": 1e-4, "scratch_steps": 7},
            marks=pytest.mark.long,
        ),
    ],
)
def test_settings_that_a_strategy_does_not_read_do_not_name_another_model(
    water: Labels, store: Store, strategy: str, others: dict[str, Any]
) -> None:
    ids = fill(store, water)
    card = train(store, ids, strategy)
    seen: list[HeldOut | None] = []
    again = train(
        store,
        ids,
        strategy,
        settings=tiny_settings(**others),
        on_progress=lambda stage, step, steps, held_out: seen.append(held_out),
    )
    assert (again.model_id, seen) == (card.model_id, [])


@pytest.mark.parametrize(
    ("strategy", "change"),
    [
        ("scratch", {"scratch_steps": 10}),
        ("scratch", {"finetune_batch_size": 3}),
        ("unweighted", {"finetune_learning_rate": 1e-4}),
        ("delta", {"learning_rate": 0.03}),
        pytest.param("multihead", {"pretrain_steps": 10}, marks=pytest.mark.long),
        pytest.param("weighted", {"scratch_steps": 10}, marks=pytest.mark.long),
        ("weighted", {"weights": "atom"}),
    ],
)
def test_settings_that_a_strategy_reads_name_another_model(
    water: Labels, store: Store, strategy: str, change: dict[str, Any]
) -> None:
    ids = fill(store, water)
    few = {"pretrain_steps": 4, "finetune_steps": 4, "evaluate_every": 4}
    one, other = (train(store, ids, strategy, settings=tiny_settings(**{**few, **c})) for c in ({}, change))
    assert one.model_id != other.model_id
    assert one.history != other.history or one.weights != other.weights


@pytest.mark.long
def test_a_cheap_label_of_a_held_out_frame_counts_only_where_its_difference_is_held_out(
    water: Labels, tmp_path: Path
) -> None:
    held_out = dataclasses.replace(water.cheap[9], energy=water.cheap[9].energy + 0.1)
    changed = Labels([*water.cheap[:9], held_out, *water.cheap[10:]], water.accurate)
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    ids = fill(one, water)
    fill(other, changed)
    for strategy, same in (("unweighted", True), ("delta", False)):
        models = [train(store, ids, strategy).model_id for store in (one, other)]
        assert (models[0] == models[1]) is same, strategy


def test_the_cheap_method_of_a_delta_calculator_runs_in_another_process(
    delta: tuple[Store, Card], water: Labels
) -> None:
    store, card = delta
    calculator = load_calculator(store, "water", card.model_id, device="cpu")
    assert isinstance(calculator.labeller, LabellerApart)
