"""Pretrained potentials as levels: files of MACE, SO3LR, and what is refused; always in processes of their own."""

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from asteroid.api import label
from asteroid.configuration import Configuration
from asteroid.engines import check_elements, check_supported, make_labeller, potential, process_kind, resolve
from asteroid.errors import AsteroidError, InputError
from asteroid.labelling.apart import LabellerApart
from asteroid.labelling.campaign import label_configurations
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.stages.level_checks import check_level
from asteroid.store import Store
from tests.labelling.reference import FORMALDEHYDE, HYDROGEN_IODIDE, WATER

MAKE_MODEL = """
import sys
from asteroid.stages.common import import_mace
import_mace()
import torch
from asteroid.settings import ModelSettings
from asteroid.training.model import build_model
small = ModelSettings(channels=4, max_l=0, max_ell=2, correlation=2, interactions=2)
model = build_model([1, 6, 8], small, scale=1.0, avg_num_neighbors=3.0, seed=int(sys.argv[2]), dtype=torch.float32)
torch.save(model, sys.argv[1])
"""


def save_model(path: Path, seed: int) -> None:
    """A MACE model of H, C and O with random weights. In a process of its own: this one may hold PySCF."""
    subprocess.run([sys.executable, "-c", MAKE_MODEL, str(path), str(seed)], check=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mace") / "m.model"
    save_model(path, 1)
    return path


def of_file(path: Path) -> LevelOfTheory:
    return resolve(LevelOfTheory.parse(f"potential:{path.name}"), path.parent)


def labels(level: LevelOfTheory, *configurations: Configuration, **options):
    found = {attempt.frame_id: attempt for attempt in label_configurations(configurations, level, **options)}
    return [found[one.frame_id] for one in configurations]


@pytest.mark.long
def test_a_file_of_mace_is_labelled_in_a_worker_with_torch_and_its_forces_are_those_of_its_energy(model):
    level = of_file(model)
    assert (str(level), process_kind(level)) == (f"potential:{model}", "torch")
    direction = np.random.default_rng(0).normal(size=FORMALDEHYDE.positions.shape)
    direction *= 1e-3 / np.linalg.norm(direction)
    moved = [FORMALDEHYDE.with_positions(FORMALDEHYDE.positions + n * direction) for n in (0, 1, -1)]
    # The limit is that of what is computed: torch alone has more data than this.
    middle, plus, minus = labels(level, *moved, memory_limit=200.0)
    assert middle.status == "ok", middle.reason
    slope = (plus.energy - minus.energy) / 2e-3
    assert slope + float((middle.forces * direction).sum()) / 1e-3 == pytest.approx(0, abs=1e-5)


@pytest.mark.long
def test_what_a_file_has_no_parameters_for_is_a_failed_label_with_its_elements(model):
    (failed,) = labels(of_file(model), HYDROGEN_IODIDE)
    assert failed.status == "failed"
    assert f"no parameters for I: {model} has H, C, O" in failed.reason


@pytest.mark.long
def test_labels_of_another_file_of_the_same_name_are_not_mixed(tmp_path):
    path = tmp_path / "m.model"
    save_model(path, 1)
    level, store = of_file(path), Store(str(tmp_path / "store"))
    molecule = MoleculeSettings(name="water", smiles="O", cheap=level)
    before = make_labeller(level).settings
    check_level(store, molecule, level, lambda: WATER)
    (record,) = (tmp_path / "store" / "checked").rglob("*.json")
    written = record.stat().st_mtime_ns
    check_level(store, molecule, level, lambda: pytest.fail("it was checked before"))
    assert record.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes() + b"\0")
    potential._content_hash.cache_clear()
    assert make_labeller(level).settings != before
    with pytest.raises(AsteroidError, match=r"with other settings or another file .* write another name or store"):
        check_level(store, molecule, level, lambda: WATER)


class Touch:
    """Pickled as a call of ``os.system``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.long
def test_a_file_that_would_run_code_is_refused_in_one_line_and_runs_nothing(tmp_path):
    files = {"m/data.pkl": pickle.dumps(Touch(tmp_path / "mark"), protocol=2)}
    for name, added, said in (
        ("pickle", {}, "cannot be read as a MACE model .it names posix.system"),
        ("script", {"m/code/__torch__.py": b""}, "is a TorchScript, which is code; .*set ASTEROID_TRUST_MODELS=1"),
    ):
        path = tmp_path / f"{name}.model"
        with zipfile.ZipFile(path, "w") as archive:
            for place, content in {**files, **added}.items():
                archive.writestr(place, content)
        with pytest.raises(AsteroidError, match=said) as refused:
            labels(of_file(path), WATER)
        assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("so3l", "did you mean 'so3lr'"),
        ("absent.model", "no file .*absent.model; write a model's path, or one of: so3lr"),
    ],
)
def test_a_potential_that_is_not_there_is_refused_in_one_line(tmp_path, name, said):
    with pytest.raises(InputError, match=said) as refused:
        resolve(LevelOfTheory.parse(f"potential:{name}"), tmp_path)
    assert len(str(refused.value).splitlines()) == 1


def test_elements_charge_and_spin_are_asked_of_the_potential():
    level = LevelOfTheory.parse("potential:so3lr")
    check_elements(level, [1, 6, 8])
    with pytest.raises(InputError, match="no parameters for I"):
        check_elements(level, [1, 53])
    check_supported(level, charge=-1, multiplicity=1)
    with pytest.raises(InputError, match=r"multiplicity 2 is not supported \(1 is\)"):
        check_supported(level, charge=0, multiplicity=2)
    with pytest.raises(InputError, match=r"charge 1 is not supported \(0 is\)"):
        check_supported(LevelOfTheory.parse("potential:ani1ccx"), charge=1, multiplicity=1)


@pytest.mark.long
def test_so3lr_labels_with_a_dipole_and_the_forces_of_its_energy():
    pytest.importorskip("so3krates_torch", reason="SO3LR is in the extra potentials")
    level = LevelOfTheory.parse("potential:so3lr")
    (water,) = labels(level, WATER)
    assert water.status == "ok", water.reason
    # Of this size in experiment (0.386 e·Å at equilibrium); it is a sum of charges, no derivative of the energy.
    assert np.linalg.norm(water.dipole) == pytest.approx(0.39, abs=0.05)
    apart = LabellerApart(level)
    try:
        assert apart.compute(WATER).energy == pytest.approx(water.energy, abs=1e-9)
    finally:
        apart.close()
    assert label(WATER.to_atoms(), "potential:so3lr").energy == pytest.approx(water.energy, abs=1e-9)
