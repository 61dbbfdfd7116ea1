"""Which frames are bought: labels that are there already come first, lost ones are replaced, none is taken twice."""

import datetime as dt
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asteroid.configuration import EXPLORED, Configuration, Frame, Origin, Split
from asteroid.manifest import AcquisitionSettings, BudgetSettings, MoleculeSettings
from asteroid.sampling.choose import choose_accurate, choose_ladder, chosen_accurate
from asteroid.store import Store
from asteroid.store.rows import Attempt

WATER = MoleculeSettings(name="water", smiles="O", budget=BudgetSettings(accurate=10, test=4))
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Thirty distorted waters in each split, none labelled."""
    random, store = np.random.default_rng(0), Store(tmp_path)
    geometry = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    for split in SPLITS:
        frames = [
            Frame(
                Configuration([8, 1, 1], geometry + random.normal(scale=0.05, size=(3, 3))), Origin("md"), split, split
            )
            for _ in range(30)
        ]
        store.add_frames("water", frames, batch=split)
    return store


def label(store: Store, ids: list[str], status: str = "ok") -> None:
    now = dt.datetime.now(dt.UTC)
    attempts = [
        Attempt(
            frame_id=frame_id,
            status=status,  # type: ignore[arg-type]
            energy=-1.0,
            forces=np.zeros((3, 3)),
            reason=None if status == "ok" else "net force",
            time=now,
        )
        for frame_id in ids
    ]
    store.add_attempts("water", WATER.accurate, attempts)


def test_frames_with_an_accurate_label_are_chosen_before_those_that_would_cost_one(store: Store) -> None:
    ids = {split: [frame.frame_id for frame in store.frames("water", split=split)] for split in SPLITS}
    labelled = {"train": ids["train"][20:], "valid": ids["valid"][10:25], "test": ids["test"][:3]}
    for split in SPLITS:
        store.select("water", WATER.accurate, labelled[split], name=f"import-{split}", criterion="import")
        label(store, labelled[split])
    choose_accurate(store, WATER)
    chosen = {split: chosen_accurate(store, WATER, split) for split in SPLITS}
    assert {split: len(chosen[split]) for split in SPLITS} == {"train": 8, "valid": 2, "test": 4}
    assert set(chosen["train"]) <= set(labelled["train"])
    assert set(chosen["valid"]) <= set(labelled["valid"])
    # Three of four test labels are there; one frame has to be bought.
    assert set(labelled["test"]) < set(chosen["test"])
    assert store.pending("water", WATER.accurate) == [i for i in chosen["test"] if i not in labelled["test"]]


def test_a_label_that_was_rejected_is_replaced_by_another_frame_and_never_chosen_again(store: Store) -> None:
    choose_accurate(store, WATER)
    first = chosen_accurate(store, WATER, "train")
    label(store, first[:3], "rejected")
    label(store, first[3:])
    choose_accurate(store, WATER)
    second = chosen_accurate(store, WATER, "train")
    assert second[: len(first)] == first
    assert len(second) == len(set(second)) == len(first) + 3


def test_a_level_in_between_gets_the_accurate_training_frames_and_diverse_others_of_their_split(store: Store) -> None:
    ladder = WATER.training.model_copy(update={"strategy": "corrected", "ladder": ("mp2/cc-pvdz", "ccsd(t)-f12/x")})
    budget = WATER.budget.model_copy(update={"ladder": 20})
    molecule = replace(WATER, training=ladder, budget=budget)
    choose_accurate(store, molecule)
    choose_ladder(store, molecule)
    computed, imported = molecule.ladder
    chosen = store.selected("water", computed)
    train = [frame.frame_id for frame in store.frames("water", split="train")]
    assert chosen[:8] == chosen_accurate(store, molecule, "train")
    assert len(chosen) == len(set(chosen)) == 20
    assert set(chosen) <= set(train)
    # A level that asteroid does not compute has what was imported.
    assert store.selected("water", imported) == []
    choose_ladder(store, molecule)
    assert store.selected("water", computed) == chosen
    # Accurate frames that come later are labelled below as well, also when the budget is spent.
    more = replace(molecule, budget=budget.model_copy(update={"accurate": 25}))
    choose_accurate(store, more)
    choose_ladder(store, more)
    assert set(chosen_accurate(store, more, "train")) <= set(store.selected("water", computed))


def test_a_geometry_that_a_model_found_is_chosen_only_with_a_cheap_label_that_is_believed(store: Store) -> None:
    random, cheap = np.random.default_rng(1), WATER.cheap
    found = [
        Frame(Configuration([8, 1, 1], 3 * random.normal(size=(3, 3))), Origin(EXPLORED), "found", "train")
        for _ in range(6)
    ]
    store.add_frames("water", found, batch="found")
    now = dt.datetime.now(dt.UTC)
    energy = {"energy": -1.0, "forces": np.zeros((3, 3)), "time": now}
    store.add_attempts("water", cheap, [Attempt(frame_id=f.frame_id, status="ok", **energy) for f in found[:3]])
    withdrawn = Attempt(frame_id=found[0].frame_id, status="rejected", reason="too high", time=now)
    store.add_attempts("water", cheap, [replace(withdrawn, time=now + dt.timedelta(seconds=1))])
    everything = replace(WATER, budget=BudgetSettings(accurate=40, test=4))
    choose_accurate(store, everything)
    chosen = set(chosen_accurate(store, everything, "train"))
    # Far from all that was sampled, they are what diversity picks first.
    assert {f.frame_id for f in found} & chosen == {f.frame_id for f in found[1:3]}


def test_rounds_hold_out_random_frames_and_a_single_round_diverse_ones(store: Store) -> None:
    choose_accurate(store, replace(WATER, acquisition=AcquisitionSettings()))
    held_out = chosen_accurate(store, WATER, "valid")
    lots = sorted(
        (frame.frame_id for frame in store.frames("water", split="valid")),
        key=lambda i: hashlib.sha256(f"{WATER.sampling.seed} {i}".encode()).hexdigest(),
    )
    assert set(held_out) == set(lots[: len(held_out)])
