"""Campaigns: nothing is computed twice, a dead worker costs one frame, and workers hold nothing but chemistry."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.labelling.campaign import label_configurations, run_campaign
from asteroid.processes import call_in_process
from asteroid.store import Store
from tests.labelling import workers
from tests.labelling.reference import FORMALDEHYDE, NITROGEN, WATER, level

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


def test_a_killed_worker_costs_one_frame_and_its_neighbours_are_labelled(monkeypatch):
    # The slow frame is found by what its worker does: the one that is still busy when the others are done.
    slow = FORMALDEHYDE
    attempts = label_configurations([slow, *displaced(3)], level("ccsd(t)/cc-pvdz"), workers=2)
    killed = threading.Event()

    def kill_the_first_worker() -> None:
        deadline = time.monotonic() + 60
        while not killed.is_set() and time.monotonic() < deadline:
            busy = [pid for pid in children() if cpu_seconds(pid) > 2.5]
            if busy:
                os.kill(busy[0], signal.SIGKILL)
                killed.set()
            time.sleep(0.02)

    watcher = threading.Thread(target=kill_the_first_worker)
    watcher.start()
    outcome = list(attempts)
    watcher.join()
    assert killed.is_set()
    failed = [attempt for attempt in outcome if attempt.status == "failed"]
    assert len(outcome) == 4
    assert len(failed) == 1
    assert "killed by SIGKILL" in (failed[0].reason or "")


def children() -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == os.getpid() and b"spawn_main" in (stat.parent / "cmdline").read_bytes():
            found.append(int(stat.parent.name))
    return found


def cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_frame_beyond_the_time_limit_fails_and_the_others_do_not():
    attempts = list(label_configurations([FORMALDEHYDE, WATER], level("ccsd(t)/cc-pvtz"), time_limit=8.0, forces=False))
    by_id = {attempt.frame_id: attempt for attempt in attempts}
    assert by_id[FORMALDEHYDE.frame_id].reason == "not finished within the time limit of 8 s"
    assert by_id[WATER.frame_id].status == "ok"


def test_workers_hold_no_torch_and_use_one_thread():
    assert call_in_process(workers.loaded_and_threads) == ([], "1")
