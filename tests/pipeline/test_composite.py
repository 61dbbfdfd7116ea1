"""A composite accurate level from a manifest to a model, with one of its parts in the ladder."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.models import read_cards
from asteroid.store.rows import core_seconds

SUM = "hf/3-21g + mp2/sto-3g - hf/sto-3g"
ASTEROID = [sys.executable, "-m", "asteroid.cli"]


@pytest.mark.long
def test_a_composite_level_trains_a_model_and_a_kill_repeats_no_label(manifest: Path) -> None:
    text = manifest.read_text().replace("hf/sto-3g", SUM).replace("test: 4", "test: 4, ladder: 14")
    text = text.replace("pretrain_steps", "ladder: [hf/3-21g]\n    pretrain_steps")
    manifest.write_text(text)
    store, composite = Store(manifest.parent / "store"), LevelOfTheory.parse(SUM)
    process = subprocess.Popen([*ASTEROID, "run", str(manifest)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 400
    while not any(store.attempts("water", part).num_rows for part in composite.computed):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.labels("water", composite) == {}, "no frame has a label at every part yet"

    result = subprocess.run([*ASTEROID, "run", str(manifest)], capture_output=True, text=True)
    # 0.02 ps of MD are not enough evidence for any certificate.
    assert result.returncode == 3, result.stderr
    assert "not certified (" in result.stdout
    levels = {str(level): level for level in store.levels("water")}
    assert set(levels) == {"gfn2-xtb", SUM, *map(str, composite.computed)}
    for level in levels.values():
        ids = store.attempts("water", level)["frame_id"].to_pylist()
        assert len(ids) == len(set(ids))
    chosen = store.selected("water", composite)
    assert set(store.labels("water", composite)) == set(chosen)
    # What the certificate asks for is labelled at the parts as well.
    assert {row["origin"] for row in store.frame_table("water", ids=chosen).to_pylist()} >= {"on-policy", "minimum"}
    (card,) = (card for card in read_cards(store, "water") if card.strategy == "corrected")
    assert card.accurate == SUM
    assert len(card.frames.accurate) == 10
    report = next(manifest.parent.rglob("report.html")).read_text()
    assert SUM in report
    # The bill has every label once.
    once = store.attempts_once("water", list(levels.values()))
    spent = sum(float(core_seconds(table).sum()) for table in once.values())
    plain = [level for level in levels.values() if not level.parts]
    assert spent == pytest.approx(sum(float(core_seconds(store.attempts("water", level)).sum()) for level in plain))

    status = subprocess.run([*ASTEROID, "status", "--store", store.location("")], capture_output=True, text=True)
    assert SUM in status.stdout
    audit = [*ASTEROID, "audit", "--store", store.location(""), "--level", SUM, "--sample", "1", "--json"]
    audited = subprocess.run(audit, capture_output=True, text=True)
    assert audited.returncode == 0, audited.stderr
    assert all(str(part) in audited.stdout for part in composite.computed)
    out = manifest.parent / "labels.xyz"
    export = ["export", "--molecule", "water", "--level", SUM, "--store", store.location(""), "--out", str(out)]
    exported = subprocess.run([*ASTEROID, *export], capture_output=True, text=True)
    assert exported.returncode == 0, exported.stderr
    assert f'level_of_theory="{SUM}"' in out.read_text()
