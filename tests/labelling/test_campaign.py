"""Campaigns: nothing is computed twice, a dead worker costs one frame, and workers hold nothing but chemistry."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.errors import AsteroidError
from asteroid.labelling.campaign import label_configurations, run_campaign
from asteroid.labelling.crew import MAX_KILLS, label_frames
from asteroid.labelling.wire import configurations_to_table
from asteroid.store import ENERGIES_ALONE, Store
from tests.labelling import workers
from tests.labelling.reference import NITROGEN, WATER, level

GFN2 = level("gfn2-xtb")
OVERLAPPING = Configuration([8, 1, 1], [[0, 0, 0], [0, 0, 0], [0, 0, 1]])


def displaced(count: int, base: Configuration = WATER) -> list[Configuration]:
    random = np.random.default_rng(0)
    shape = base.positions.shape
    return [base.with_positions(base.positions + random.normal(scale=0.03, size=shape)) for _ in range(count)]


def filled_store(path: Path, configurations: list[Configuration], text: str = "gfn2-xtb") -> Store:
    store = Store(path)
    frames = [Frame(configuration, Origin("import"), group="0", split="train") for configuration in configurations]
    store.add_frames("water", frames, batch="0")
    store.select("water", level(text), [frame.frame_id for frame in frames], name="all", criterion="test")
    return store


def test_a_campaign_labels_everything_once(tmp_path):
    store = filled_store(tmp_path, displaced(60))
    seen: list[tuple[int, int]] = []
    summary = run_campaign(store, "water", GFN2, workers=2, on_progress=lambda done, total: seen.append((done, total)))
    assert (summary.total, summary.ok, summary.failed, summary.rejected) == (60, 60, 0, 0)
    assert seen[-1] == (60, 60)
    assert len(store.labels("water", GFN2)) == 60
    assert run_campaign(store, "water", GFN2).total == 0
    assert store.attempts("water", GFN2).num_rows == 60


def test_shards_share_the_frames_and_meet_nowhere(tmp_path):
    store = filled_store(tmp_path, displaced(20))
    done = [run_campaign(store, "water", GFN2, shard=shard, shards=2).total for shard in range(2)]
    assert sum(done) == store.attempts("water", GFN2).num_rows == 20


def test_an_interrupted_campaign_keeps_what_it_finished_and_goes_on_from_there(tmp_path):
    store = filled_store(tmp_path, displaced(40))

    def interrupt(done: int, _total: int) -> None:
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_campaign(store, "water", GFN2, on_progress=interrupt)
    kept = store.attempts("water", GFN2).num_rows
    assert 10 <= kept < 40
    assert run_campaign(store, "water", GFN2).total == 40 - kept
    ids = store.attempts("water", GFN2)["frame_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 40


def test_a_calculation_without_result_is_stored_as_failed_with_its_reason(tmp_path):
    store = filled_store(tmp_path, [OVERLAPPING, WATER])
    assert run_campaign(store, "water", GFN2).failed == 1
    rows = {row["frame_id"]: row for row in store.attempts("water", GFN2).to_pylist()}
    assert rows[OVERLAPPING.frame_id]["status"] == "failed"
    assert "close" in rows[OVERLAPPING.frame_id]["reason"]
    assert rows[WATER.frame_id]["status"] == "ok"


def test_coupled_cluster_that_does_not_converge_is_a_failed_attempt():
    (attempt,) = label_configurations([NITROGEN], level("ccsd/sto-3g"))
    assert attempt.status == "failed"
    assert attempt.reason == "CCSD not converged in 100 cycles"
    assert attempt.energy is None
    assert attempt.wall_seconds > 0


# What can go wrong in a worker: frames of hydroxide (oxygen first) are fine, those of hydrogen fluoride are not.

FINE = displaced(12)
BAD = [Configuration([9, 1], [[0, 0, 0], [0, 0, 0.95]])]


def troubled(trouble: str, notes: Path, **limits: float) -> dict[str, tuple[str, str]]:
    """Status and reason of each frame, when the labeller gets into trouble in the middle of a chunk."""
    frames = configurations_to_table([*FINE[:6], *BAD, *FINE[6:]])
    make = workers.Troubled(element=9, trouble=trouble, notes=str(notes))
    table = pa.concat_tables(label_frames(frames, make, workers=2, **limits))
    rows = table.to_pylist()
    assert sorted(row["frame_id"] for row in rows) == sorted(frames["frame_id"].to_pylist())
    return {row["frame_id"]: (row["status"], row["reason"]) for row in rows}


def the_one_failure(outcome: dict[str, tuple[str, str]]) -> str:
    assert all(outcome[one.frame_id] == ("ok", None) for one in FINE)
    status, reason = outcome[BAD[0].frame_id]
    assert status == "failed"
    return reason


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("read_address_zero", "was killed by SIGSEGV"),
        ("leave", "ended with exit code 3"),
        ("be_killed", "was killed by SIGKILL"),
        ("take_memory", "the memory limit of 2000 MiB is reached"),
        ("hang", "not finished within the time limit of 2 s"),
        ("hang_in_a_library", "not finished within the time limit of 2 s"),
    ],
)
def test_a_frame_that_ends_its_worker_fails_and_its_neighbours_do_not(trouble, reason, tmp_path):
    outcome = troubled(trouble, tmp_path, time_limit=2.0, memory_limit=2000.0)
    assert reason in the_one_failure(outcome)


def test_a_frame_whose_worker_is_killed_gets_another_chance(tmp_path):
    outcome = troubled("be_killed_once", tmp_path)
    assert set(outcome.values()) == {("ok", None)}


def test_a_frame_whose_worker_is_always_killed_fails_in_the_end(tmp_path):
    assert "was killed by SIGKILL" in the_one_failure(troubled("be_killed", tmp_path))
    assert (tmp_path / "kills").read_text() == "x" * MAX_KILLS


def test_workers_that_are_told_to_end_end_the_campaign(tmp_path):
    with pytest.raises(AsteroidError, match="were stopped; run again to continue"):
        troubled("be_told_to_end", tmp_path)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [("fill_the_disk", "No space left on device.*eri.h5"), ("lose_the_programs_files", "No such file.*cc-pvdz.dat")],
)
def test_a_fault_of_the_machine_ends_the_campaign_and_condemns_no_frame(tmp_path, trouble, reason):
    with pytest.raises(AsteroidError, match=rf"cannot go on on this machine: .*{reason}"):
        troubled(trouble, tmp_path)


def test_a_program_that_cannot_be_loaded_ends_the_campaign(tmp_path):
    make = replace(workers.Troubled(element=9, trouble="hang", notes=""), program="no_such_program")
    with pytest.raises(AsteroidError, match="no_such_program cannot be loaded on this machine"):
        list(label_frames(configurations_to_table(FINE), make))


def test_workers_hold_no_torch_and_use_one_thread(tmp_path):
    assert the_one_failure(troubled("describe_the_process", tmp_path)) == "[] 1 1"


def test_workers_leave_no_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    notes = tmp_path / "notes"
    notes.mkdir()
    troubled("be_killed_once", notes)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes"]


def test_without_a_place_for_temporary_files_a_campaign_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(AsteroidError, match="no folder for the temporary files of labelling"):
        list(label_configurations(FINE, GFN2))


def test_a_time_limit_is_that_of_a_label_and_not_of_a_chunk(tmp_path):
    # Labels of about a millisecond come in chunks of half a second, longer than the limit.
    outcome = list(label_configurations(displaced(1500), GFN2, time_limit=0.3))
    assert {attempt.status for attempt in outcome} == {"ok"}


def test_frames_chosen_for_their_energy_get_that_alone_and_wait_for_nothing_more(tmp_path):
    store = filled_store(tmp_path, displaced(6))
    ids = store.selected("water", GFN2)
    store.select("water", GFN2, ids[:2], name="energies-1", criterion=ENERGIES_ALONE)
    assert sorted(store.pending("water", GFN2)) == sorted(ids)
    assert run_campaign(store, "water", GFN2).ok == 6
    labels = store.labels("water", GFN2)
    assert [i for i in ids if labels[i].forces is None] == ids[:2]
    assert store.pending("water", GFN2) == []
    store.compact("water")
    assert store.pending("water", GFN2) == []
    assert run_campaign(store, "water", GFN2).total == 0
