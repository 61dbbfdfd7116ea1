"""Sampling can be killed, repeated and extended; no group is ever in two splits."""

import datetime as dt
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid.configuration import Frame
from asteroid.errors import AsteroidError
from asteroid.groups import plan_groups, planned_frames
from asteroid.manifest import BudgetSettings, MoleculeSettings, SamplingSettings
from asteroid.sampling import sample, starting_configuration
from asteroid.sampling.choose import choose_accurate, choose_cheap
from asteroid.sampling.conformers import find_conformers
from asteroid.sampling.plan import _Apart
from asteroid.sampling.select import near_copies, sorted_distances
from asteroid.store import Store
from asteroid.store.rows import Attempt, Status


def water(frames: int = 24, **others: object) -> MoleculeSettings:
    sampling = SamplingSettings(frames=frames, frames_per_group=4, equilibration=5.0, interval=2.0)
    budget = BudgetSettings(accurate=10, valid_fraction=0.2, test=3)
    return MoleculeSettings(name="water", smiles="O", sampling=sampling.model_copy(update=others), budget=budget)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Water, 24 frames."""
    store = Store(tmp_path_factory.mktemp("sampled"))
    sample(store, water())
    return store


SETTINGS = st.builds(
    SamplingSettings,
    methods=st.sampled_from([("md",), ("normal-modes",), ("md", "normal-modes")]),
    temperatures=st.integers(1, 8).map(lambda n: tuple(100.0 * (i + 1) for i in range(n))),
    frames=st.integers(10, 3000),
    frames_per_group=st.integers(1, 60),
)


@settings(max_examples=200)
@given(SETTINGS)
def test_every_split_has_frames_however_few_are_asked_for(asked: SamplingSettings) -> None:
    counts = planned_frames(asked)
    assert sum(counts.values()) == asked.frames
    assert set(counts) == {"train", "valid", "test"}


@settings(max_examples=100)
@given(SETTINGS, st.integers(0, 3000))
def test_more_frames_add_to_the_plan_and_change_nothing_in_it(asked: SamplingSettings, more: int) -> None:
    larger = plan_groups(asked.model_copy(update={"frames": asked.frames + more}))
    for before, after in zip(plan_groups(asked), larger, strict=False):
        identity = (before.index, before.turn, before.method, before.temperature, before.split)
        assert identity == (after.index, after.turn, after.method, after.temperature, after.split)
        assert after.frames >= before.frames


def test_splits_are_stratified_over_method_and_temperature() -> None:
    groups = plan_groups(SamplingSettings(frames=4000, frames_per_group=10))
    for stratum in {(group.method, group.temperature) for group in groups}:
        counts = Counter(group.split for group in groups if (group.method, group.temperature) == stratum)
        assert counts == {"train": 70, "valid": 10, "test": 20}


def test_no_group_is_in_two_splits_and_none_is_empty(sampled: Store) -> None:
    frames = sampled.frames("water")
    splits: dict[str, set[str]] = {}
    for frame in frames:
        splits.setdefault(frame.group, set()).add(frame.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {frame.split for frame in frames} == {"train", "valid", "test"}


def test_no_frame_nearly_copies_one_of_another_split(sampled: Store) -> None:
    points = {
        split: sorted_distances([f.configuration for f in sampled.frames("water", split=split)])
        for split in ("train", "valid", "test")
    }
    assert not near_copies(points["train"], np.concatenate([points["valid"], points["test"]])).any()
    assert not near_copies(points["valid"], points["test"]).any()


def test_a_near_copy_of_a_held_out_frame_is_refused(sampled: Store) -> None:
    (held_out, *_) = sampled.frames("water", split="test")
    copy = Frame(
        held_out.configuration.with_positions(held_out.configuration.positions + 1e-4), held_out.origin, "new", "train"
    )
    apart = _Apart(sampled.frames("water"))
    assert apart.admit([copy], "train") == []
    assert apart.admit([copy], "test") == [copy]


def test_a_frame_says_where_it_came_from(sampled: Store) -> None:
    frames = {frame.frame_id: frame for frame in sampled.frames("water")}
    assert {frame.origin.method for frame in frames.values()} == {"md", "normal-modes", "conformer"}
    for frame in frames.values():
        assert frame.origin.parameters["level"] == "gfn2-xtb"
        assert frame.origin.parameters["version"]
        if frame.origin.method != "conformer":
            assert frame.origin.parent is not None
            assert frames[frame.origin.parent].origin.method == "conformer"
            temperature = frame.origin.parameters["temperature"]
            assert frame.origin.temperature == (temperature if frame.origin.method == "md" else None)


def test_the_same_seed_gives_the_same_frames_and_another_seed_others(sampled: Store, tmp_path: Path) -> None:
    sample(Store(tmp_path / "again"), water(), workers=2)
    sample(Store(tmp_path / "other"), water(seed=1))
    before, again, other = (
        {f.frame_id for f in store.frames("water") if f.origin.method != "conformer"}
        for store in (sampled, Store(tmp_path / "again"), Store(tmp_path / "other"))
    )
    assert before == again
    assert before.isdisjoint(other)


def test_sampling_again_does_nothing_and_more_frames_only_add(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = sample(store, water(12))
    # Twelve frames are dealt out to ten groups.
    before = {f.frame_id: (f.split, f.group) for f in store.frames("water")}
    assert (first.batches, first.frames, first.kept) == (10, 12, 12)
    assert sample(store, water(12)).batches == 0
    seen: list[tuple[int, int]] = []
    sample(store, water(44), on_progress=lambda done, total: seen.append((done, total)))
    after = {f.frame_id: (f.split, f.group) for f in store.frames("water")}
    assert seen[-1] == (11, 11)
    assert before.items() <= after.items()
    # The conformer is a frame of its own.
    assert len(after) == 45
    assert sample(store, water(20)).batches == 0


def _sample_forever(folder: str) -> None:
    sample(Store(folder), water(5000))


@pytest.mark.long
def test_a_killed_run_loses_no_batch_and_leaves_no_worker(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_sample_forever, args=(str(tmp_path),))
    process.start()
    assert process.pid is not None
    store = Store(tmp_path)
    deadline = time.monotonic() + 60
    while len(store.frame_batches("water")) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    batches = store.frame_batches("water")
    assert len(batches) >= 4
    kept = store.frames("water")
    time.sleep(2.5)
    assert store.frame_batches("water") == batches
    sample(store, water(24))
    assert {f.frame_id for f in kept} <= {f.frame_id for f in store.frames("water")}


def test_hydrogen_peroxide_has_one_conformer_up_to_its_mirror_image(labeller: object) -> None:
    molecule = MoleculeSettings(name="peroxide", smiles="OO")
    found = find_conformers(molecule, labeller)  # type: ignore[arg-type]
    assert len(found) == 1
    assert starting_configuration(molecule).formula == "H2O2"


def test_conformers_are_distinct_and_sorted_by_energy(labeller: object) -> None:
    molecule = MoleculeSettings(name="propanol", smiles="CCCO", sampling=SamplingSettings(conformers=3))
    energies = [energy for _, energy in find_conformers(molecule, labeller)]  # type: ignore[arg-type]
    assert energies == sorted(energies)
    assert 2 <= len(energies) <= 3


def test_a_molecule_that_falls_apart_at_the_cheap_level_is_said_so(labeller: object, tmp_path: Path) -> None:
    # As near as a bond would hold them, but noble gases repel each other.
    (tmp_path / "helium.xyz").write_text("2\n\nHe 0 0 0\nHe 0 0 0.6\n")
    molecule = MoleculeSettings(name="helium", geometry=tmp_path / "helium.xyz")
    with pytest.raises(AsteroidError, match="does not keep the molecule together"):
        find_conformers(molecule, labeller)  # type: ignore[arg-type]


def test_accurate_frames_are_chosen_from_their_splits_and_kept_when_the_budget_grows(sampled: Store) -> None:
    small = water()
    choose_cheap(sampled, small)
    choose_accurate(sampled, small)
    split = {f.frame_id: f.split for f in sampled.frames("water")}
    level = small.accurate
    assert sampled.selections("water", level) == ["accurate-test-3", "accurate-train-8", "accurate-valid-2"]
    for name in sampled.selections("water", level):
        assert {split[i] for i in sampled.selected("water", level, name=name)} == {name.split("-")[1]}
    assert set(sampled.selected("water", small.cheap)) == set(split)

    choose_accurate(sampled, small)
    assert len(sampled.selections("water", level)) == 3
    larger = MoleculeSettings(
        name="water", smiles="O", sampling=small.sampling, budget=BudgetSettings(accurate=15, test=4)
    )
    choose_accurate(sampled, larger)
    for before, after in (("accurate-train-8", "accurate-train-12"), ("accurate-test-3", "accurate-test-4")):
        chosen = sampled.selected("water", level, name=after)
        assert len(set(chosen)) == len(chosen) == int(after.rpartition("-")[2])
        assert chosen[: int(before.rpartition("-")[2])] == sampled.selected("water", level, name=before)


def test_new_frames_are_added_to_the_cheap_selection(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for frames in (10, 14):
        sample(store, water(frames, methods=("normal-modes",)))
        choose_cheap(store, water(frames))
    assert len(store.selections("water", water().cheap)) == 2
    assert set(store.selected("water", water().cheap)) == {f.frame_id for f in store.frames("water")}


def finish_labels(store: Store, molecule: MoleculeSettings, outcome: Callable[[str], Status]) -> None:
    """Give everything pending at the accurate level an attempt with this outcome."""
    level, now = molecule.accurate, dt.datetime.now(dt.UTC)
    attempts = [
        Attempt(frame_id=i, status=outcome(i), energy=-1.0, forces=np.zeros((3, 3)), reason="no SCF", time=now)
        for i in store.pending(molecule.name, level)
    ]
    store.add_attempts(molecule.name, level, attempts)


def copy_of_frames(sampled: Store, folder: Path) -> Store:
    store = Store(folder)
    store.add_frames("water", sampled.frames("water"), batch="batch")
    return store


def test_frames_whose_label_failed_or_was_rejected_are_replaced_by_others_of_their_split(
    sampled: Store, tmp_path: Path
) -> None:
    store, molecule = copy_of_frames(sampled, tmp_path), water()
    level = molecule.accurate
    choose_accurate(store, molecule)
    first = store.selected("water", level)
    lost = {name: store.selected("water", level, name=name)[0] for name in ("accurate-train-8", "accurate-test-3")}
    failing: dict[str, Status] = {lost["accurate-train-8"]: "failed", lost["accurate-test-3"]: "rejected"}
    choose_accurate(store, molecule)
    assert store.selected("water", level) == first, "what is still to be labelled is not lost"

    finish_labels(store, molecule, lambda i: failing.get(i, "ok"))
    choose_accurate(store, molecule)
    replaced = ["accurate-test-4", "accurate-train-9"]
    assert sorted(set(store.selections("water", level)) - {*lost, "accurate-valid-2"}) == replaced
    split = {f.frame_id: f.split for f in store.frames("water")}
    added = [i for i in store.selected("water", level) if i not in first]
    assert Counter(split[i] for i in added) == {"train": 1, "test": 1}

    finish_labels(store, molecule, lambda i: "ok")
    choose_accurate(store, molecule)
    assert len(store.selections("water", level)) == 5, "the budget is met in labels that can be used"
    counts = Counter(split[i] for i in store.labels("water", level))
    assert counts == {"train": 8, "valid": 2, "test": 3}


def test_where_every_label_fails_no_more_than_twice_the_budget_is_tried(sampled: Store, tmp_path: Path) -> None:
    store, molecule = copy_of_frames(sampled, tmp_path), water()
    for _ in range(6):
        choose_accurate(store, molecule)
        finish_labels(store, molecule, lambda i: "failed")
    split = {f.frame_id: f.split for f in store.frames("water")}
    tried = Counter(split[i] for i in store.selected("water", molecule.accurate))
    there = Counter(split.values())
    budget = {"train": 8, "valid": 2, "test": 3}
    assert tried == {name: min(2 * count, there[name]) for name, count in budget.items()}
