"""``asteroid status`` and ``asteroid audit`` on a real small store."""

import dataclasses
import datetime as dt
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asteroid.configuration import Frame, Origin
from asteroid.engines import make_labeller
from asteroid.store import Store
from asteroid.store.locks import lock
from asteroid.store.rows import Attempt
from tests.labelling.reference import FORMALDEHYDE, attempt, level

GFN2 = level("gfn2-xtb")


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "asteroid.cli", *arguments], capture_output=True, text=True)


def frames(count: int) -> list[Frame]:
    noise = np.random.default_rng(2).normal(scale=0.03, size=(count, 4, 3))
    moved = (FORMALDEHYDE.with_positions(FORMALDEHYDE.positions + one) for one in noise)
    return [Frame(c, Origin("test", {}), f"g{i}", "train") for i, c in enumerate(moved)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """24 formaldehydes with labels of GFN2-xTB."""
    store, chosen = Store(tmp_path / "store"), frames(24)
    store.add_frames("ch2o", chosen, batch="one")
    store.select("ch2o", GFN2, [f.frame_id for f in chosen], name="all", criterion="test")
    store.add_attempts("ch2o", GFN2, [attempt(make_labeller(GFN2), f.configuration) for f in chosen])
    return store


def test_an_audit_of_good_labels_withdraws_nothing_and_exits_with_0(store: Store) -> None:
    result = cli("audit", "--store", store.url, "--sample", "3", "--json")
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)
    assert (row["molecule"], row["level"], row["labels"], row["checked"]) == ("ch2o", "gfn2-xtb", 24, 3)
    assert (row["outliers"], row["foreign"], row["withdrawn"]) == (0, 0, [])
    assert row["energy_error"] < 1e-8
    assert row["force_error"] < 1e-5


def test_an_audit_withdraws_what_fails_once_and_exits_with_1(store: Store) -> None:
    (wrong, far), now = frames(26)[24:], dt.datetime.now(dt.UTC)
    store.add_frames("ch2o", [wrong, far], batch="two")
    good = [attempt(make_labeller(GFN2), f.configuration) for f in (wrong, far)]
    flipped = dataclasses.replace(good[0], forces=-good[0].forces, time=now)
    low = dataclasses.replace(good[1], energy=good[1].energy - 50, time=now)
    store.add_attempts("ch2o", GFN2, [flipped, low])
    result = cli("audit", "--store", store.url, "--sample", "26", "--json")
    assert result.returncode == 1, result.stderr
    (row,) = json.loads(result.stdout)
    assert row["outliers"] == 1
    reasons = {one["frame_id"]: one["reason"] for one in row["withdrawn"]}
    assert set(reasons) == {wrong.frame_id, far.frame_id}
    assert "differ from the finite difference" in reasons[wrong.frame_id]
    assert "from the median" in reasons[far.frame_id]
    assert len(store.labels("ch2o", GFN2)) == 24
    again = cli("audit", "--store", store.url, "--sample", "26")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Audit of labels" in again.stdout


def test_labels_of_other_programs_are_not_recomputed(store: Store) -> None:
    (frame,) = frames(25)[24:]
    store.add_frames("ch2o", [frame], batch="two")
    label = attempt(make_labeller(GFN2), frame.configuration)
    store.add_attempts("ch2o", GFN2, [dataclasses.replace(label, program="import")])
    result = cli("audit", "--store", store.url, "--sample", "25")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 label of other programs, not recomputed" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"), [(("--molecule", "ch2"), "did you mean 'ch2o'?"), (("--level", "gfn1-xtb"), "'gfn2-xtb'")]
)
def test_an_audit_of_what_is_not_there_is_bad_input(store: Store, arguments: tuple[str, ...], said: str) -> None:
    result = cli("audit", "--store", store.url, *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_status_shows_what_failed_why_and_which_retry_step_helped(store: Store) -> None:
    extra, now = frames(27)[24:], dt.datetime.now(dt.UTC)
    ids = [f.frame_id for f in extra]
    store.add_frames("ch2o", extra, batch="two")
    store.select("ch2o", GFN2, ids, name="more", criterion="test")
    made = {"wall_seconds": 3600.0, "peak_memory": 500.0, "program": "tblite", "time": now}
    retry_steps = ("default", "damped")
    store.add_attempts(
        "ch2o",
        GFN2,
        [
            Attempt(frame_id=ids[0], status="ok", energy=-200.0, retry_steps=retry_steps, **made),
            Attempt(
                frame_id=ids[1],
                status="failed",
                reason="SCF not converged in 250 cycles",
                retry_steps=retry_steps,
                **made,
            ),
            Attempt(
                frame_id=ids[2],
                status="failed",
                reason="SCF not converged in 1000 cycles",
                retry_steps=retry_steps,
                **made,
            ),
        ],
    )
    (row,) = json.loads(cli("status", "--store", store.url, "--reasons", "--json").stdout)
    assert row["to_do"] == 0
    assert (row["frames"], row["ok"], row["energy_only"], row["failed"], row["rejected"]) == (27, 25, 1, 2, 0)
    assert row["core_hours_by_status"]["failed"] == pytest.approx(2.0)
    assert row["peak_memory"] >= 500.0
    assert row["rungs"] == [{"rung": "default", "tried": 27, "ok": 24}, {"rung": "damped", "tried": 3, "ok": 1}]
    # Reasons that differ in a figure are one.
    assert row["reasons"] == [{"reason": "SCF not converged in … cycles", "attempts": 2}]
    shown = cli("status", "--store", store.url, "--reasons").stdout
    for text in ("Retry steps", "33.3 %", "SCF not converged in … cycles"):
        assert text in shown
    assert "Why labels failed" not in cli("status", "--store", store.url).stdout


def test_a_store_is_watched_until_ctrl_c(store: Store) -> None:
    (further,) = frames(25)[24:]
    store.add_frames("ch2o", [further], batch="two")
    store.select("ch2o", GFN2, [further.frame_id], name="one more", criterion="test")
    command = [sys.executable, "-u", "-m", "asteroid.cli", "status", "--store", store.url, "--watch"]
    with (
        lock(store, "labels ch2o gfn2-xtb"),
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A test run in the background ignores Ctrl-C, and its children with it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as watching,
    ):
        assert watching.stdout is not None
        shown = ""
        while "under way" not in shown:
            line = watching.stdout.readline()
            assert line, "it ended by itself"
            shown += line
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert errors.strip() == "stopped; run the same command again to go on"
    assert "under way: labels ch2o gfn2-xtb" in shown
    # 24 labels in ten minutes, one to do.
    assert "2.4" in shown
