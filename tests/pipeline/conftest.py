"""A manifest small enough to go through every step in seconds: real tblite, real PySCF, real MACE."""

from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

from tests.image_packages import divided

WATER = """
store: {store}
defaults:
  cheap: gfn2-xtb
  accurate: hf/sto-3g
  sampling: {{frames: 40, temperatures: [300], interval: 5, equilibration: 20}}
  budget: {{accurate: 10, test: 4}}
  training:
    model: {{channels: 4, max_l: 0, correlation: 1, interactions: 1}}
    pretrain_steps: 20
    finetune_steps: 20
    correction_steps: 20
    evaluate_every: 10
  validation: {{temperatures: [300], nve_ps: 0.02, nvt_ps: 0.02, curve: false}}
molecules:
  - name: water
    smiles: O
"""

HYDROGEN_FLUORIDE = """
  - name: hydrogen-fluoride
    smiles: F
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Water, in a store of its own."""
    path = tmp_path / "manifest.yaml"
    path.write_text(WATER.format(store=tmp_path / "store"))
    return path


@pytest.fixture
def image_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Steps find only the packages of the image that runs them."""
    (tmp_path / "image-packages").mkdir()
    # A server from which steps are forked finds what it found when it started.
    forkserver._forkserver._stop()
    with divided(tmp_path / "image-packages") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield
    forkserver._forkserver._stop()


def add_molecule(manifest: Path) -> None:
    manifest.write_text(manifest.read_text().rstrip() + HYDROGEN_FLUORIDE)
