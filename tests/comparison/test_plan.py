import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid.comparison.cheap_labels import label_cheaply
from asteroid.comparison.plan import check_store, in_drawn_order, make_plan
from asteroid.errors import InputError
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from tests.comparison.conftest import make_store, settings_with
from tests.training.conftest import ACCURATE, CHEAP, Labels


@pytest.fixture(scope="module")
def store(water: Labels, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("plan") / "store", water)


@settings(deadline=None, max_examples=25)
@given(
    seeds=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3, unique=True),
    counts=st.lists(st.integers(3, 20), min_size=2, max_size=3, unique=True),
    valid_fraction=st.floats(0.2, 0.3),
    cheap_frames=st.none() | st.integers(2, 24),
    test_frames=st.integers(1, 12),
)
def test_no_frame_has_two_roles_and_fewer_labels_are_a_part_of_more(store: Store, **changes: Any) -> None:
    changes["n_accurate"], changes["seeds"] = tuple(changes.pop("counts")), tuple(changes["seeds"])
    if any(n - round(n * (1 - changes["valid_fraction"])) < 1 for n in changes["n_accurate"]):
        return
    plan = make_plan(store, settings_with(variants=("scratch", "delta", "unweighted"), **changes))
    splits = {frame.frame_id: frame.split for frame in store.frames("water")}
    assert {splits[i] for i in plan.test} == {"test"}
    assert len(plan.test) == min(changes["test_frames"], 10)
    frames: dict[tuple[int, int], tuple[Any, ...]] = {}
    for cell in plan.cells:
        assert {splits[i] for i in (*cell.train, *cell.cheap)} == {"train"}
        assert {splits[i] for i in cell.valid} == {"valid"}
        assert len({*cell.train, *cell.valid}) == cell.n_accurate, "none twice, and as many as asked for"
        assert len(cell.cheap) == (changes["cheap_frames"] or 24)
        drawn = (cell.train, cell.valid, cell.cheap)
        assert frames.setdefault((cell.seed, cell.n_accurate), drawn) == drawn, "every variant has the same frames"
    for seed in changes["seeds"]:
        by_count = [frames[seed, n] for n in sorted(changes["n_accurate"])]
        for (train, valid, cheap), (more_train, more_valid, same_cheap) in itertools.pairwise(by_count):
            assert set(train) <= set(more_train)
            assert set(valid) <= set(more_valid)
            assert cheap == same_cheap
    assert len(plan.cells) == 3 * len(changes["seeds"]) * len(changes["n_accurate"])


def test_another_seed_draws_other_frames(store: Store) -> None:
    one, other = make_plan(store, settings_with(variants=("scratch",), seeds=(0, 1))).cells
    assert set(one.train) != set(other.train)


@given(st.sets(st.text("0123456789abcdef", min_size=4, max_size=4), min_size=2), st.integers(0, 99))
def test_a_draw_is_stable_when_frames_are_added(ids: set[str], seed: int) -> None:
    more = in_drawn_order(ids, seed)
    removed = more[len(more) // 2]
    assert in_drawn_order(ids - {removed}, seed) == [i for i in more if i != removed]


def test_teachers_are_trained_first(store: Store) -> None:
    plan = make_plan(store, settings_with(variants=("weighted", "scratch"), seeds=(0, 1)))
    assert [cell.variant for cell in plan.cells] == ["scratch", "scratch", "weighted", "weighted"]


def test_fewer_test_frames_than_asked_for_are_said(store: Store) -> None:
    assert make_plan(store, settings_with(test_frames=10)).notes == ()
    (note,) = make_plan(store, settings_with(test_frames=1000)).notes
    assert note == "10 test frames have labels at both levels, of 1000 asked for"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"variants": ("scratch", "wieghted")}, "--variants: unknown strategy 'wieghted'; did you mean 'weighted'?"),
        ({"variants": ()}, "--variants: found nothing; write one or several, separated by commas"),
        ({"seeds": (1, 2, 1)}, "--seeds: found 1 more than once; write it once"),
        ({"seeds": (-1,)}, "--seeds: found -1; write 0 or more"),
        (
            {"n_accurate": (2,)},
            "--n-accurate: found 2, which with --valid-fraction 0.2 is 2 to train from and 0 to stop",
        ),
        ({"valid_fraction": 1.5}, "--valid-fraction: found 1.5; write a number above 0 and below 0.9"),
        ({"test_frames": 0}, "--test-frames: found 0; write 1 or more"),
        ({"cheap_frames": 1}, "--cheap-frames: found 1; write 2 or more"),
        ({"cheap": ACCURATE}, "--accurate: found 'gfn2-xtb', the cheap level too; write a more accurate one"),
        ({"variants": ("foundation",)}, "--variants: foundation starts from an existing model"),
    ],
)
def test_what_cannot_be_compared_is_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        settings_with(**changes)
    (problem,) = caught.value.problems
    assert problem.startswith(line)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"molecule": "watre"}, "--molecule: the store has no 'watre'; did you mean 'water'?"),
        ({"accurate": "gfn3-xtb"}, "--accurate: water has no labels at 'gfn3-xtb'; did you mean"),
        ({"cheap": "gfn2xtb"}, "--cheap: water has no labels at 'gfn2xtb'; did you mean 'gfn2-xtb'?"),
    ],
)
def test_what_the_store_does_not_have_is_one_line_with_the_nearest_name(
    store: Store, changes: dict[str, str], line: str
) -> None:
    levels = {k: LevelOfTheory.parse(v, imported=True) if k != "molecule" else v for k, v in changes.items()}
    with pytest.raises(InputError) as caught:
        check_store(store, settings_with(**levels))
    (problem,) = caught.value.problems
    assert problem.startswith(line)


def test_too_few_labels_say_how_many_there_are(store: Store) -> None:
    with pytest.raises(
        InputError, match=r"^--n-accurate: water .* for 40: 24 in train where 32 are needed, 6 in valid "
    ):
        make_plan(store, settings_with(n_accurate=(10, 40)))
    # 24 to train and 6 to stop by.
    with pytest.raises(InputError, match=r"write at most 30, or label more$"):
        make_plan(store, settings_with(n_accurate=(40,)))
    with pytest.raises(InputError, match="too few"):
        make_plan(store, settings_with(n_accurate=(31,)))
    make_plan(store, settings_with(n_accurate=(30,)))


def test_judging_frames_without_a_cheap_label_are_said_to_lack_it(water: Labels, tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", water)
    only = LevelOfTheory.parse("pm7", imported=True)
    attempts = list(store.labels("water", CHEAP).values())
    train = {frame.frame_id for frame in store.frames("water", split="train")}
    store.add_attempts("water", only, [a for a in attempts if a.frame_id in train])
    with pytest.raises(
        InputError, match=r"^--cheap: water .* both pm7 and gfn2-xtb: 0 in test where 1 are needed, 0 in "
    ):
        make_plan(store, settings_with(cheap=only))


def test_missing_cheap_labels_are_computed_once(store: Store, water: Labels, tmp_path: Path) -> None:
    other = Store(tmp_path / "store")
    other.add_frames("water", store.frames("water"), batch="all")
    cheap, accurate = ACCURATE, LevelOfTheory.parse("pm7", imported=True)
    other.add_attempts("water", accurate, list(store.labels("water", CHEAP).values()))
    chosen = settings_with(cheap=cheap, accurate=accurate)
    label_cheaply(other, chosen, workers=1)
    expected = {frame.frame_id: frame.energy for frame in water.accurate}
    found = {i: label.energy for i, label in other.labels("water", cheap).items()}
    assert found.keys() == expected.keys()
    # Two runs of one program: the SCF's convergence.
    np.testing.assert_allclose([found[i] for i in expected], list(expected.values()), atol=1e-5)
    calls: list[Any] = []
    label_cheaply(other, chosen, workers=1, on_progress=lambda *n: calls.append(n))
    assert calls == []
    assert len(make_plan(other, chosen).test) == 10


def test_imported_cheap_labels_are_not_mixed_with_computed_ones(store: Store, tmp_path: Path) -> None:
    mixed = Store(tmp_path / "store")
    mixed.add_frames("water", store.frames("water"), batch="all")
    accurate = LevelOfTheory.parse("pm7", imported=True)
    labels = list(store.labels("water", ACCURATE).values())
    mixed.add_attempts("water", accurate, labels)
    mixed.add_attempts("water", ACCURATE, [dataclasses.replace(labels[0], program="import")])
    label_cheaply(mixed, settings_with(cheap=ACCURATE, accurate=accurate), workers=1)
    assert len(mixed.labels("water", ACCURATE)) == 1


def test_the_pipelines_rule_says_how_many_labels_are_held_out() -> None:
    from asteroid.settings import BudgetSettings

    for n in (5, 10, 25, 50, 100):
        assert settings_with(n_accurate=(n,)).fitted(n) == BudgetSettings(accurate=n).train
