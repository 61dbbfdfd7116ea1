"""The whole pipeline on this machine: from a manifest to certified models, killed and run again."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule as ase_molecule
from rich.console import Console

import asteroid
from asteroid.pipeline.local import run
from asteroid.stages import load_checked
from asteroid.store import Store
from tests.pipeline.conftest import add_molecule

ASTEROID = [sys.executable, "-m", "asteroid.cli"]


def run_here(manifest: Path) -> list[dict[str, Any]]:
    loaded = load_checked(manifest)
    return run(Store(loaded.store), loaded.molecules, console=Console(quiet=True))


def attempts(store: Store, molecule: str) -> dict[str, int]:
    """Rows in the ledger by level: an attempt made twice would be two rows."""
    return {str(level): store.attempts(molecule, level).num_rows for level in store.levels(molecule)}


@pytest.mark.slow
def test_a_manifest_becomes_a_certified_model_and_running_it_again_computes_nothing(
    manifest: Path, image_packages: None
) -> None:
    (outcome,) = run_here(manifest)
    store = Store(manifest.parent / "store")
    report = Path(outcome["report"]).read_text()
    assert outcome["molecule"] == "water"
    assert "water" in report
    assert Path(outcome["model"]).stat().st_size > 1000
    # HF labels have dipoles, so the model has an infrared spectrum.
    assert "Infrared spectrum" in report
    infrared = store.read_json(outcome["certificate_path"])["evidence"]["infrared"]
    assert infrared["errors"]["labels"] == 10
    assert len(infrared["model"]["intensities"]) == 3
    atoms = ase_molecule("H2O")
    atoms.calc = asteroid.load_model(store.url, "water")
    assert np.linalg.norm(atoms.get_dipole_moment()) > 0.1
    before = attempts(store, "water")
    files = sorted(p for p in (manifest.parent / "store").rglob("*") if p.is_file() and "index.html" not in p.name)
    assert before["gfn2-xtb"] == len(store.selected("water", store.levels("water")[0]))

    async def in_a_notebook() -> list[dict[str, Any]]:
        return asteroid.run(manifest, quiet=True)

    assert asyncio.run(in_a_notebook()) == [outcome]
    assert attempts(store, "water") == before
    again = sorted(p for p in (manifest.parent / "store").rglob("*") if p.is_file() and "index.html" not in p.name)
    assert again == files


@pytest.mark.long
def test_a_molecule_that_is_added_later_leads_to_work_for_that_molecule_alone(manifest: Path) -> None:
    run_here(manifest)
    store = Store(manifest.parent / "store")
    before = attempts(store, "water")
    add_molecule(manifest)
    assert [o["molecule"] for o in run_here(manifest)] == ["water", "hydrogen-fluoride"]
    assert attempts(store, "water") == before


@pytest.mark.long
def test_a_pipeline_killed_while_it_labels_and_while_it_trains_loses_and_repeats_nothing(manifest: Path) -> None:
    # Long enough to be caught in the middle.
    manifest.write_text(
        manifest.read_text().replace("hf/sto-3g", "ccsd/6-31g").replace("pretrain_steps: 20", "pretrain_steps: 400")
    )
    store = Store(manifest.parent / "store")

    def labelled() -> bool:
        return any(attempts(store, m).get("gfn2-xtb") for m in store.molecules())

    def training() -> bool:
        return any((manifest.parent / "store" / "checkpoints").rglob("*"))

    for caught in (labelled, training):
        process = subprocess.Popen(
            [*ASTEROID, "run", str(manifest)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 200
        while not caught():
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()

    result = subprocess.run([*ASTEROID, "run", str(manifest)], capture_output=True, text=True)
    # 0.02 ps of MD are not enough evidence for any certificate.
    assert result.returncode == 3, result.stderr
    assert "not certified (" in result.stdout
    assert "Next: " in result.stdout
    for level in store.levels("water"):
        ids = store.attempts("water", level)["frame_id"].to_pylist()
        # What was in flight at the kill was not in the ledger yet, so no frame has two attempts.
        assert len(ids) == len(set(ids)) == len(store.selected("water", level))
    assert not any(p.is_file() for p in (manifest.parent / "store" / "checkpoints").rglob("*"))
