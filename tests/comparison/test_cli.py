"""``asteroid compare`` as people and programs use it."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asteroid.cli import app
from asteroid.cli.common import out
from asteroid.cli.compare import _print
from asteroid.errors import InputError
from asteroid.store import Store
from tests.report.comparisons import make_comparison

MANIFEST = """
defaults:
  cheap: gfn1-xtb
  accurate: gfn2-xtb
  training:
    model: {channels: 4, max_l: 0, max_ell: 1, correlation: 2, radial: 4, r_max: 3.0}
    pretrain_steps: 10
    finetune_steps: 10
    evaluate_every: 10
    batch_size: 8
    finetune_batch_size: 4
    precision: float64
    device: cpu
molecules:
  - {name: water, smiles: O}
"""

RESULT = {
    *("molecule", "cheap", "accurate", "arm", "n_accurate", "seed", "force_mae", "force_rmse", "energy_mae"),
    *("energy_rmse", "core_hours", "label_core_hours", "training_core_hours", "seconds", "cheap_labels", "model_id"),
    *("needs", "reason"),
}


def arguments(store: Store, folder: Path, **options: str) -> list[str]:
    chosen = {
        **{"store": store.url, "molecule": "water", "cheap": "gfn1-xtb", "accurate": "gfn2-xtb", "n-accurate": "10"},
        **{"variants": "scratch,unweighted", "seeds": "0", "out": str(folder / "out.json"), "workers": "1"},
        **{name.replace("_", "-"): value for name, value in options.items()},
    }
    return ["compare", *(word for name, value in chosen.items() for word in (f"--{name}", value))]


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.long
def test_a_comparison_that_is_stopped_by_the_keyboard_goes_on_when_run_again(
    water_store: Store, tmp_path: Path
) -> None:
    # Long enough that much is left to do when the keys are pressed a second time.
    (tmp_path / "tiny.yaml").write_text(MANIFEST.replace("pretrain_steps: 10", "pretrain_steps: 300"))
    command = [sys.executable, "-m", "asteroid.cli"]
    command += arguments(water_store, tmp_path, manifest=str(tmp_path / "tiny.yaml"), n_accurate="10,15", workers="1")
    # A session of its own: the keyboard's signal reaches all its processes, as in a terminal.
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (kept := water_store.names("comparisons/water")):
        assert first.poll() is None, first.stderr and first.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGINT)
    try:
        _, said = first.communicate(timeout=1.5)
    except subprocess.TimeoutExpired:
        # Python drops what it raises while it tidies up; a person would press the keys again.
        os.killpg(first.pid, signal.SIGINT)
        _, said = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "Traceback" not in said
    assert not (tmp_path / "out.json").exists()
    # Python's own helper process ends a moment after the one that it helps.
    while group_lives(first.pid):
        assert time.monotonic() < deadline, "the trainings go on"
        time.sleep(0.1)
    made = {name: water_store.modified(f"comparisons/water/{name}") for name in kept}

    second = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert {name: water_store.modified(f"comparisons/water/{name}") for name in made} == made
    assert len(water_store.names("comparisons/water")) == 4
    data = json.loads((tmp_path / "out.json").read_text())
    assert json.loads(second.stdout) == data, "standard output is JSON and nothing else"
    assert [(r["arm"], r["n_accurate"], r["seed"]) for r in data["results"]] == [
        *(("scratch", 10, 0), ("scratch", 15, 0), ("unweighted", 10, 0), ("unweighted", 15, 0))
    ]
    for row in data["results"]:
        assert set(row) == RESULT
        assert all(row[name] > 0 for name in ("force_mae", "force_rmse", "energy_mae", "core_hours"))
        assert row["reason"] is None
    assert data["settings"]["training"]["model"]["channels"] == 4, "as the manifest says"
    page = (tmp_path / "out.html").read_text()
    assert "unweighted" in page
    (folder,) = water_store.names("reports/water")
    assert water_store.read(f"reports/water/{folder}/comparison.html").decode() == page


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"molecule": "watre"}, "--molecule: the store has no 'watre'; did you mean 'water'?"),
        ({"variants": "scratch,unwieghted"}, "--variants: unknown strategy 'unwieghted'; did you mean 'unweighted'?"),
        ({"n_accurate": "ten"}, "--n-accurate: found 'ten'; write whole numbers, separated by commas"),
        ({"seeds": "0;1"}, "--seeds: found '0;1'; write whole numbers, separated by commas"),
        ({"cheap": "not a level"}, "--cheap: 'not a level' is not a level of theory; write method/basis"),
        ({"n_accurate": "500"}, "--n-accurate: water has too few labels at gfn2-xtb for 500:"),
        (
            {"out": "/nowhere/at/all.json"},
            "--out: '/nowhere/at/all.json' cannot be written; write a file in an existing folder",
        ),
        ({"manifest": "/nowhere.yaml"}, "/nowhere.yaml"),
    ],
)
def test_bad_input_is_one_line(water_store: Store, tmp_path: Path, options: dict[str, str], line: str) -> None:
    result = CliRunner().invoke(app, arguments(water_store, tmp_path, **options))
    assert isinstance(result.exception, InputError), result.exception
    (problem,) = result.exception.problems
    assert problem.startswith(line)
    assert water_store.names("comparisons") == []


def test_a_molecule_that_the_manifest_does_not_have_is_one_line(water_store: Store, tmp_path: Path) -> None:
    # Long enough that much is left to do when the keys are pressed a second time.
    (tmp_path / "tiny.yaml").write_text(MANIFEST.replace("name: water", "name: steam"))
    result = CliRunner().invoke(app, arguments(water_store, tmp_path, manifest=str(tmp_path / "tiny.yaml")))
    assert isinstance(result.exception, InputError)
    assert "has no 'water'" in str(result.exception)


def test_the_table_fits_a_terminal_and_marks_what_is_sure(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    laws = {"scratch": 200.0, "score-matching-denoising": 20.0, "delta": 10.0}
    data = make_comparison(laws)
    data["settings"] = {"molecule": "formaldehyde", "cheap": "b3lyp/cc-pvdz", "accurate": "ccsd(t)-f12/aug-cc-pvtz-f12"}
    data["settings"]["notes"] = ["720 test frames have labels at both levels, of 1000 asked for"]
    monkeypatch.setattr(out, "_width", 80)
    _print(data)
    lines = capsys.readouterr().out.splitlines()
    table = list(itertools.takewhile(lambda line: not line.startswith("•"), lines))
    assert len(table) >= 9 + 4
    assert max(map(len, table)) <= 80
    row = next(line for line in table if "delta" in line and " 25 " in line)
    assert "0.05*" in row
    assert lines[-1] == data["settings"]["notes"][0]
