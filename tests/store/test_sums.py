"""Labels of composite levels: sums of what the store has of their parts, and nothing that is there is asked again."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.errors import InputError, StoreError
from asteroid.levels import LevelOfTheory
from asteroid.store import ENERGIES_ALONE, Store
from asteroid.store.records import FreeAtom
from asteroid.store.rows import Attempt, core_seconds

SUM = LevelOfTheory.parse("hf/3-21g + mp2/sto-3g - hf/sto-3g")
HF, BASIS, MP2 = (LevelOfTheory.parse(name) for name in ("hf/sto-3g", "hf/3-21g", "mp2/sto-3g"))
EXTRAPOLATED = LevelOfTheory.parse("mp2/cbs(d,t)")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def frames(count: int) -> list[Frame]:
    return [
        Frame(Configuration([1, 1], [[0, 0, 0], [0, 0, 0.7 + 0.01 * i]]), Origin("import"), f"group-{i}", "train")
        for i in range(count)
    ]


def attempt(frame_id: str, number: float, **changes: object) -> Attempt:
    values = {
        "frame_id": frame_id,
        "status": "ok",
        "energy": number,
        "forces": np.full((2, 3), 2 * number),
        "dipole": np.full(3, 3 * number),
        "cpu_seconds": 1.0 + number,
        "wall_seconds": 5.0,
        "peak_memory": 100 * number,
        "program": "pyscf",
        "time": START + dt.timedelta(seconds=number),
    }
    return Attempt(**values | changes)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path)
    opened.add_frames("h2", frames(4), batch="one")
    return opened


@pytest.fixture
def ids() -> list[str]:
    return [frame.frame_id for frame in frames(4)]


def test_a_label_is_the_sum_of_those_of_the_parts(store: Store, ids: list[str]) -> None:
    for level, numbers in ((HF, (1, 2, 3)), (BASIS, (4, 5)), (MP2, (7, 8, 9))):
        store.add_attempts("h2", level, [attempt(i, n) for i, n in zip(ids, numbers, strict=False)])
    labels = store.labels("h2", SUM)
    assert set(labels) == set(ids[:2]), "the third has no label at one part"
    for frame_id, expected in zip(ids, (4 + 7 - 1, 5 + 8 - 2), strict=False):
        label = labels[frame_id]
        assert (label.energy, label.program, label.status) == (expected, "pyscf", "ok")
        np.testing.assert_array_equal(label.forces, np.full((2, 3), 2 * expected))
        np.testing.assert_array_equal(label.dipole, np.full(3, 3 * expected))
    assert labels[ids[0]].core_seconds == 3 + 1 + 4 + 7
    assert labels[ids[0]].peak_memory == 700
    assert labels[ids[0]].time == START + dt.timedelta(seconds=7)
    assert store.attempts("h2", SUM).num_rows == 2


def test_weights_are_those_of_the_extrapolation(store: Store, ids: list[str]) -> None:
    energies = {"hf/cc-pvdz": -1.1, "hf/cc-pvtz": -1.13, "mp2/cc-pvdz": -1.15, "mp2/cc-pvtz": -1.165}
    for name, energy in energies.items():
        numbers = {"energy": energy, "peak_memory": 0.0, "cpu_seconds": 1.0, "time": START}
        store.add_attempts("h2", LevelOfTheory.parse(name), [attempt(ids[0], 1.0, **numbers)])
    small, large = (energies[f"mp2/{basis}"] - energies[f"hf/{basis}"] for basis in ("cc-pvdz", "cc-pvtz"))
    expected = energies["hf/cc-pvtz"] + (27 * large - 8 * small) / 19
    assert store.labels("h2", EXTRAPOLATED)[ids[0]].energy == pytest.approx(expected, abs=1e-14)


def test_forces_and_dipoles_are_there_where_all_parts_have_them(store: Store, ids: list[str]) -> None:
    for level in (HF, BASIS, MP2):
        without = {"forces": None} if level is MP2 else {"dipole": None}
        store.add_attempts("h2", level, [attempt(ids[0], 1, **without), attempt(ids[1], 2), attempt(ids[2], 3)])
    labels = store.labels("h2", SUM)
    assert labels[ids[0]].forces is None
    assert labels[ids[0]].dipole is None
    np.testing.assert_array_equal(labels[ids[1]].forces, np.full((2, 3), 4))
    np.testing.assert_array_equal(labels[ids[2]].dipole, np.full(3, 9))
    # The frame without forces at one part is pending there alone.
    store.select("h2", SUM, ids[:2], name="some", criterion="diverse")
    assert store.pending("h2", SUM) == [ids[0]]
    assert store.pending("h2", MP2, selected_at=SUM) == [ids[0]]
    assert store.pending("h2", HF, selected_at=SUM) == []
    assert store.pending("h2", SUM, forces=False) == []


def test_each_part_is_pending_where_it_has_not_been_tried(store: Store, ids: list[str]) -> None:
    store.select("h2", SUM, ids, name="all", criterion="diverse")
    assert store.pending("h2", SUM) == ids
    assert store.levels("h2") == [SUM]
    assert store.pending("h2", HF) == [], "nothing was selected at the part itself"
    store.add_attempts("h2", HF, [attempt(i, 1) for i in ids])
    store.add_attempts("h2", BASIS, [attempt(i, 2) for i in ids[:2]])
    store.add_attempts("h2", MP2, [attempt(i, 3) for i in ids[:1]])
    assert [store.pending("h2", part, selected_at=SUM) for part in SUM.computed] == [ids[2:], [], ids[1:]]
    assert store.pending("h2", SUM) == ids[1:]
    shards = [store.pending("h2", SUM, shard=shard, shards=3) for shard in range(3)]
    assert sorted(i for shard in shards for i in shard) == sorted(ids[1:])


def test_a_frame_that_failed_at_one_part_is_asked_of_no_other(store: Store, ids: list[str]) -> None:
    store.select("h2", SUM, ids, name="all", criterion="diverse")
    failed = attempt(ids[0], 1, status="failed", energy=None, forces=None, dipole=None, reason="SCF not converged")
    store.add_attempts("h2", HF, [failed, *(attempt(i, 1) for i in ids[1:])])
    store.add_attempts("h2", BASIS, [attempt(ids[1], 2), attempt(ids[1], 2, status="rejected", reason="energy")])
    assert store.pending("h2", SUM) == ids[2:]
    assert store.pending("h2", MP2, selected_at=SUM) == ids[2:]
    store.add_attempts("h2", BASIS, [attempt(i, 2) for i in ids[2:]])
    store.add_attempts("h2", MP2, [attempt(i, 3) for i in ids[2:]])
    found = {row["frame_id"]: row for row in store.attempts("h2", SUM).to_pylist()}
    assert {i: found[i]["status"] for i in ids} == dict(zip(ids, ("failed", "rejected", "ok", "ok"), strict=True))
    assert found[ids[0]]["reason"] == "hf/sto-3g: SCF not converged"
    assert found[ids[1]]["reason"] == "hf/3-21g: energy"
    assert found[ids[1]]["cpu_seconds"] == 2 + 3 + 3
    rows = {row["level"]: row for row in store.status("h2")}
    assert [rows[str(SUM)][name] for name in ("frames", "ok", "failed", "rejected")] == [4, 2, 1, 1]
    assert [rows[str(HF)][name] for name in ("frames", "ok", "failed", "rejected")] == [4, 3, 1, 0]


def test_frames_for_energies_only_need_no_forces_at_any_part(store: Store, ids: list[str]) -> None:
    store.select("h2", SUM, ids[:1], name="energies", criterion=ENERGIES_ALONE)
    for level in (HF, BASIS, MP2):
        store.add_attempts("h2", level, [attempt(ids[0], 1, forces=None)])
    assert store.pending("h2", SUM) == []


LEVELS = st.lists(st.sampled_from([HF, BASIS, MP2, SUM]), min_size=1, max_size=4, unique=True)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([HF, BASIS, MP2]), st.integers(0, 3)), max_size=12),
    st.sets(st.integers(0, 3)),
    LEVELS,
)
def test_no_attempt_is_charged_twice(
    tmp_path_factory: pytest.TempPathFactory,
    made: Sequence[tuple[LevelOfTheory, int]],
    selected: set[int],
    levels: list[LevelOfTheory],
) -> None:
    store, there = Store(tmp_path_factory.mktemp("store")), [frame.frame_id for frame in frames(4)]
    store.select("h2", SUM, [there[i] for i in sorted(selected)], name="some", criterion="diverse")
    for number, (level, place) in enumerate(made):
        store.add_attempts("h2", level, [attempt(there[place], number + 1)])
    found = store.attempts_once("h2", levels)
    assert set(found) == set(levels)
    charged = sum(float(core_seconds(table).sum()) for table in found.values())
    expected = sum(
        number + 2
        for number, (level, place) in enumerate(made)
        if level in levels or (SUM in levels and place in selected)
    )
    assert charged == pytest.approx(expected)
    if SUM in levels:
        assert set(found[SUM]["frame_id"].to_pylist()) <= {there[i] for i in selected}


def test_free_atoms_are_sums_and_one_that_failed_is_known_as_failed(store: Store) -> None:
    atom = FreeAtom(
        level="",
        element="H",
        multiplicity=2,
        energy=-1.0,
        reason=None,
        program="pyscf",
        version="2",
        settings="",
        cpu_seconds=1.0,
        wall_seconds=2.0,
        created="2026-01-01T00:00:00+00:00",
        molecule="h2",
    )
    for level, energy in ((HF, -12.0), (BASIS, -13.0), (MP2, -12.5)):
        store.add_atom(level, replace(atom, energy=energy))
        store.add_atom(level, replace(atom, element="C", energy=None if level is MP2 else -1.0, reason="no"))
    store.add_atom(HF, replace(atom, element="O"))
    found = store.atoms(SUM)
    assert set(found) == {"H", "C"}
    assert (found["H"].energy, found["H"].cpu_seconds) == (-13.0 - 12.5 + 12.0, 3.0)
    assert (found["C"].energy, found["C"].reason) == (None, "no")


def test_labels_of_a_sum_are_added_at_its_parts(store: Store, ids: list[str]) -> None:
    with pytest.raises(InputError, match=r"add labels at hf/3-21g, hf/sto-3g, mp2/sto-3g"):
        store.add_attempts("h2", SUM, [attempt(ids[0], 1)])


def test_a_folder_of_labels_at_a_sum_is_no_folder_of_this_version(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "labels" / "level=ccsd%28t%29%2Fcbs%28d%2Ct%29" / "molecule=h2"
    folder.mkdir(parents=True)
    (folder / "old.parquet").write_bytes(b"")
    with pytest.raises(StoreError, match="labels of a composite level"):
        store.levels("h2")


def test_compaction_changes_nothing(store: Store, ids: list[str]) -> None:
    store.select("h2", SUM, ids, name="all", criterion="diverse")
    for level in (HF, BASIS, MP2):
        for number, frame_id in enumerate(ids[:3]):
            store.add_attempts("h2", level, [attempt(frame_id, number + 1)])
    before = store.labels("h2", SUM), store.pending("h2", SUM)
    files = store.table_files("h2")
    store.compact("h2")
    assert store.table_files("h2") < files
    after = store.labels("h2", SUM), store.pending("h2", SUM)
    assert {i: label.energy for i, label in after[0].items()} == {i: label.energy for i, label in before[0].items()}
    assert after[1] == before[1]
