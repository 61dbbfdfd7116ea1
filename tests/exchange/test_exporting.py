"""Exported labels are what other programs read, and come back to the last bit."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import ase.db
import ase.io
import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from ase import units

from asteroid.configuration import Frame
from asteroid.errors import InputError
from asteroid.exchange import export_labels
from asteroid.store import Store
from asteroid.store.rows import Attempt
from tests.cli import cli
from tests.exchange.files import CHEAP, FOREIGN, contents, load, springs, write_npz


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """100 frames with labels: most with forces, some energies alone, one rejected."""
    store = Store(tmp_path / "store")
    arrays = springs(90)
    arrays["F"][3] += 1.0
    load(store, write_npz(tmp_path / "a.npz", arrays), reject_bad=True)
    load(store, write_npz(tmp_path / "b.npz", springs(10, seed=1), F=None), split="valid")
    return store


def labels_of(store: Store) -> dict[str, tuple[object, ...]]:
    splits = {frame.frame_id: frame.split for frame in store.frames("m")}

    def key(label: Attempt) -> tuple[object, ...]:
        return label.energy, None if label.forces is None else label.forces.tobytes(), splits[label.frame_id]

    return {frame_id: key(label) for frame_id, label in store.labels("m", CHEAP).items()}


@pytest.mark.parametrize("format", ["extxyz", "mace", "parquet", "huggingface"])
def test_what_is_exported_and_imported_is_the_same_to_the_last_bit(format: str, store: Store, tmp_path: Path) -> None:
    out = tmp_path / {"extxyz": "m.xyz", "parquet": "m.parquet"}.get(format, format)
    written = export_labels(store, "m", CHEAP, format=format, out=out)
    assert (sum(one.labels for one in written), sum(one.energy_only for one in written)) == (99, 10)
    other = Store(tmp_path / "other")
    load(other, *(one.file for one in written))
    assert labels_of(other) == labels_of(store)
    # Its own store knows all of it.
    before = contents(store)
    assert sum(one.known for one in load(store, *(one.file for one in written))) == 99
    assert contents(store) == before
    # A file says at which level its labels are.
    with pytest.raises(InputError, match=r"holds labels at 'mp2/cc-pvdz'"):
        load(other, written[0].file, level=FOREIGN)


def test_ase_reads_what_was_labelled(store: Store, tmp_path: Path) -> None:
    export_labels(store, "m", CHEAP, format="extxyz", out=tmp_path / "m.xyz", split="train")
    labels = store.labels("m", CHEAP)
    frames = [frame for frame in store.frames("m", split="train") if frame.frame_id in labels]
    read = ase.io.read(tmp_path / "m.xyz", index=":")
    assert len(read) == len(frames) > 50
    for atoms, frame in zip(read, frames, strict=True):
        assert np.array_equal(atoms.positions, frame.configuration.positions)
        assert atoms.get_potential_energy() == labels[frame.frame_id].energy
        assert np.array_equal(atoms.get_forces(), labels[frame.frame_id].forces)
        assert (atoms.info["charge"], atoms.info["spin"], atoms.info["split"]) == (0, 1, "train")


def test_the_table_reads_without_asteroid_and_carries_its_units(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    export_labels(store, "m", CHEAP, format="parquet", out=out)
    query = f"select count(*), count(forces), min(len(positions)), any_value(level), min(energy) from '{out}'"
    lowest = min(label.energy for label in store.labels("m", CHEAP).values() if label.energy is not None)
    assert duckdb.sql(query).fetchall() == [(99, 89, 12, "mp2/cc-pvdz", lowest)]
    units = {field.name: (field.metadata or {}).get(b"unit", b"").decode() for field in pq.read_schema(out)}
    assert units["energy"].startswith("eV")
    assert units["forces"].startswith("eV/Å")
    assert units["positions"].startswith("Å")


def test_what_is_not_there_is_said(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "m.xyz"
    for arguments, message in (
        (("n", CHEAP, {}), "--molecule: the store has no 'n'; "),
        (("m", FOREIGN, {}), "--level: 'm' has no labels at 'ccsd"),
        (("m", CHEAP, {"split": "certificate"}), "'m' has no accepted labels at 'mp2/cc-pvdz' on certificate frames"),
        (("m", CHEAP, {"split": "trian"}), "--split: found 'trian'; did you mean 'train'"),
        (("m", CHEAP, {"format": "xyz"}), "--format: found 'xyz'; did you mean 'extxyz'"),
        (("m", CHEAP, {"license": "mit"}), "--license: --format extxyz has no place for it"),
        (
            ("m", CHEAP, {"license": "my own", "format": "huggingface"}),
            "--license: found 'my own'; write an identifier",
        ),
        (("m", CHEAP, {"out": tmp_path / "store"}), "--out: cannot write"),
    ):
        molecule, level, options = arguments
        with pytest.raises(InputError) as error:
            export_labels(store, molecule, level, **({"format": "extxyz", "out": out} | options))
        assert str(error.value).startswith(message)
    assert not list(tmp_path.glob(".*.tmp"))
    asked = ("--molecule", "m", "--level", str(CHEAP), "--out", str(out))
    done = cli("export", "--store", store.url, *asked, "--json")
    assert json.loads(done.stdout) == [{"file": str(out), "labels": 99, "energy_only": 10}]


def test_a_file_where_a_folder_is_to_be_is_one_line(store: Store, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(InputError, match="--out: cannot write"):
        export_labels(store, "m", CHEAP, format="mace", out=tmp_path / "data")
    assert (tmp_path / "data").read_text() == "mine"


def exported(store: Store) -> list[tuple[Frame, Attempt]]:
    """Frames with a label, in the order of an export."""
    labels = store.labels("m", CHEAP)
    return [(frame, labels[frame.frame_id]) for frame in store.frames("m") if frame.frame_id in labels]


def test_qcelemental_reads_atomic_results(store: Store, tmp_path: Path) -> None:
    models = pytest.importorskip("qcelemental.models")
    export_labels(store, "m", CHEAP, format="qcschema", out=tmp_path / "m.jsonl")
    read = [models.AtomicResult.parse_raw(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    pairs = exported(store)
    assert len(read) == len(pairs) == 99
    hartree, bohr = units.Hartree, units.Bohr
    for result, (frame, label) in zip(read, pairs, strict=True):
        configuration = frame.configuration
        assert result.id == frame.frame_id
        assert result.success
        assert list(result.molecule.atomic_numbers) == configuration.numbers.tolist()
        # QCElemental rounds positions to 1e-8 bohr.
        np.testing.assert_allclose(result.molecule.geometry * bohr, configuration.positions, atol=1e-8)
        assert (result.molecule.molecular_charge, result.molecule.molecular_multiplicity) == (0, 1)
        assert (result.model.method, result.model.basis) == ("mp2", "cc-pvdz")
        assert result.properties.return_energy * hartree == pytest.approx(label.energy, abs=1e-9)
        assert result.extras["asteroid"]["split"] == frame.split
        if label.forces is None:
            assert (result.driver, result.return_result) == ("energy", result.properties.return_energy)
        else:
            assert result.driver == "gradient"
            np.testing.assert_allclose(-result.return_result * hartree / bohr, label.forces, atol=1e-10)


def test_ase_selects_from_the_database(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "m.db"
    for _ in range(2):  # a second export replaces the first
        export_labels(store, "m", CHEAP, format="asedb", out=out)
    pairs = exported(store)
    with ase.db.connect(out) as database:
        assert database.metadata["units"] == "eV, Å"
        rows = list(database.select(sort="id"))
        assert len(rows) == 99
        assert database.count(split="valid") == sum(frame.split == "valid" for frame, _ in pairs) > 10
        assert database.count(level_of_theory="mp2/cc-pvdz", total_charge=0, multiplicity=1) == 99
    for row, (frame, label) in zip(rows, pairs, strict=True):
        atoms = row.toatoms()
        assert row.data["frame_id"] == frame.frame_id
        assert np.array_equal(atoms.positions, frame.configuration.positions)
        assert atoms.get_potential_energy() == label.energy
        if label.forces is None:
            assert "forces" not in row
        else:
            assert np.array_equal(atoms.get_forces(), label.forces)


def test_a_dataset_has_a_card_that_describes_its_files(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "m"
    asked = ("--molecule", "m", "--level", str(CHEAP), "--format", "huggingface", "--license", "CC-BY-4.0")
    done = cli("export", "--store", store.url, *asked, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    assert sum(file["labels"] for file in json.loads(done.stdout)) == 99

    _, properties, text = (out / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(properties)
    assert (front["license"], front["size_categories"]) == ("cc-by-4.0", ["n<1K"])
    (config,) = front["configs"]
    tables = {one["split"]: pd.read_parquet(out / one["path"]) for one in config["data_files"]}
    assert {str(path.relative_to(out)) for path in out.rglob("*.parquet")} == {
        one["path"] for one in config["data_files"]
    }
    for split, table in tables.items():
        assert set(table["split"]) == {split}
    found = pd.concat(tables.values()).set_index("frame_id")
    for frame, label in exported(store):
        assert found.loc[frame.frame_id, "energy"] == label.energy
    features = [one["name"] for one in front["dataset_info"]["features"]]
    assert features == pq.read_schema(out / config["data_files"][0]["path"]).names
    assert "| `forces` | list<item: double> | eV/Å" in text
    assert f"99 energies of {exported(store)[0][0].configuration.formula}" in text


def test_datasets_loads_the_dataset(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    export_labels(store, "m", CHEAP, format="huggingface", out=tmp_path / "m")
    loaded = datasets.load_dataset(str(tmp_path / "m"), cache_dir=str(tmp_path / "cache"))
    energies = {row["frame_id"]: row["energy"] for split in loaded.values() for row in split}
    assert energies == {frame.frame_id: label.energy for frame, label in exported(store)}


@pytest.mark.long
def test_mace_trains_on_energies_and_forces_of_the_export_as_it_is(store: Store, tmp_path: Path) -> None:
    export_labels(store, "m", CHEAP, format="mace", out=tmp_path / "data")

    program = shutil.which("mace_run_train", path=str(Path(sys.executable).parent))
    assert program is not None
    files = "--name tiny --train_file data/train.xyz --valid_file data/valid.xyz --E0s average --device cpu --seed 1"
    small = "--num_channels 4 --max_L 0 --max_ell 1 --correlation 1 --num_interactions 1 --r_max 3.0"
    short = "--max_num_epochs 2 --batch_size 10 --valid_batch_size 10 --lr 0.05"
    command = [program, *f"{files} {small} {short}".split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]

    (log,) = (tmp_path / "results").glob("tiny*.txt")
    evaluations = [e for e in map(json.loads, log.read_text().splitlines()) if e["mode"] == "eval"]
    first, *_, last = evaluations
    # A label that MACE has not found counts as no error; a model that does not see forces does not learn them.
    assert first["rmse_f"] > 0.1
    assert first["rmse_e_per_atom"] > 0
    assert last["rmse_f"] < 0.95 * first["rmse_f"]
