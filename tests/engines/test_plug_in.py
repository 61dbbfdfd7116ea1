"""An engine that another package brings: found by its entry point, it labels like one of ours."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asteroid.store import Store
from tests.pipeline.conftest import WATER

PACKAGE = Path(__file__).parent / "morse"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of processes in which the package is installed, as pip does it."""
    for needed in ("pip", "setuptools"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed, which installs the package of an engine")
    folder = tmp_path_factory.mktemp("installed")
    # A copy: a build leaves folders beside what it builds.
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "asteroid_morse.py"):
        (source / name).write_text((PACKAGE / name).read_text())
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder)]
    subprocess.run([*pip, *options, str(source)], check=True)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def asteroid(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "asteroid.cli", *arguments], capture_output=True, text=True, env=env)


@pytest.fixture
def water(tmp_path: Path) -> Path:
    path = tmp_path / "water.xyz"
    path.write_text("3\n\nO 0 0 0.12\nH 0 0.76 -0.47\nH 0 -0.76 -0.47\n")
    return path


def test_a_level_of_another_package_is_labelled_and_a_misspelt_one_refused(environment, water):
    labelled = asteroid("label", str(water), "--level", "morse:soft", "--json", env=environment)
    (found,) = json.loads(labelled.stdout)
    # 2 D (1 − exp(−a (0.962 − 0.96)))² and so on: next to nothing, so near the minimum.
    assert found["status"] == "ok"
    assert 0 <= found["energy"] < 1e-3
    refused = asteroid("label", str(water), "--level", "morse:sof", env=environment)
    assert (refused.returncode, refused.stderr.strip()) == (
        2,
        "--level: 'morse:sof': unknown water; did you mean 'soft'?",
    )
    refused = asteroid("label", str(water), "--level", "mors:soft", env=environment)
    assert "unknown engine 'mors'; did you mean 'morse'?" in refused.stderr


def test_a_manifest_asks_the_engine_about_elements_charge_and_forces(environment, tmp_path):
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(
        WATER.format(store=tmp_path / "store")
        .replace("cheap: gfn2-xtb", "cheap: morse:soft")
        .replace("smiles: O\n", "smiles: '[OH-]'\n  - {name: methane, smiles: C}\n")
    )
    checked = asteroid("check", str(manifest), env=environment)
    assert checked.returncode == 2
    assert "cheap: found 'morse:soft': no parameters for C; it has H, O: write another level" in checked.stderr
    without_methane = manifest.read_text().replace("  - {name: methane, smiles: C}\n", "")
    manifest.write_text(without_methane)
    checked = asteroid("check", str(manifest), env=environment)
    assert "cheap: 'morse:soft': charge -1 is not supported (0 is); write another level" in checked.stderr


@pytest.mark.long
def test_an_engine_of_another_package_labels_through_the_whole_pipeline(environment, tmp_path):
    manifest = tmp_path / "manifest.yaml"
    text = WATER.format(store=tmp_path / "store").replace("gfn2-xtb", "morse:soft").replace("hf/sto-3g", "morse:stiff")
    manifest.write_text(text)
    ran = asteroid("run", str(manifest), env=environment)
    # So small a model gets no certificate; all stages were run.
    assert ran.returncode == 3, ran.stdout + ran.stderr
    store = Store(str(tmp_path / "store"))
    levels = {str(level): store.label_table("water", level) for level in store.levels("water")}
    assert set(levels) == {"morse:soft", "morse:stiff"}
    assert set(levels["morse:stiff"]["program"].to_pylist()) == {"morse"}
    # Its forces were compared with finite differences before any of this: what was found is in the store.
    for level in levels:
        (record,) = (tmp_path / "store" / "checked" / f"level={level.replace(':', '%3A')}").rglob("*.json")
        assert json.loads(record.read_text())["force_error"] < 1e-6
