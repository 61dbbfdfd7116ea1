import json
import subprocess
import sys
from pathlib import Path

import pytest

import asteroid
from asteroid.configuration import Configuration, Frame, Origin
from asteroid.exchange import export_labels
from asteroid.labelling.campaign import run_campaign
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from tests.cli import cli

WATER = "3\n\nO 0 0 0\nH 0.76 0.59 0\nH -0.76 0.59 0\n"


@pytest.fixture
def water(tmp_path: Path) -> Path:
    path = tmp_path / "water.xyz"
    path.write_text(WATER)
    return path


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rum"], "asteroid: no such command 'rum'. Did you mean 'run'? ('asteroid --help' lists what it takes)"),
        (["run"], "asteroid run: missing argument 'manifest' ('asteroid run --help' lists what it takes)"),
        (["run", "--nonsense"], "asteroid run: no such option: --nonsense ('asteroid run --help' lists what it takes)"),
    ],
)  # fmt: skip
def test_a_wrong_command_or_option_is_one_line(arguments: list[str], line: str) -> None:
    result = cli(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", line + "\n")


def test_without_arguments_there_is_help() -> None:
    result = cli()
    assert result.returncode == 2
    assert "Usage: asteroid" in result.stdout


def test_importing_asteroid_loads_no_heavy_package() -> None:
    heavy = "{'prefect', 'torch', 'pyscf', 'mace', 'ase', 'rdkit'}"
    for module in (
        "asteroid",
        "asteroid.cli",
        "asteroid.manifest",
        "asteroid.labelling",
        "asteroid.stages",
        "asteroid.pipeline.local",
    ):
        code = f"import sys, {module}; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert result.returncode == 0, f"import {module} loads {result.stderr}"


def test_help_names_every_command() -> None:
    result = subprocess.run([sys.executable, "-m", "asteroid.cli", "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    for command in ("run", "check", "label", "status"):
        assert f" {command} " in result.stdout
    assert cli("--version").stdout.strip() == asteroid.__version__


def test_check_prints_one_line_a_problem_and_exits_with_2(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "defaults: {acurate: mp2/cc-pvdz}\n"
        "molecules:\n"
        "  - {name: ../escape, smiles: C=O}\n"
        "  - {name: nh2, smiles: '[NH2]', accurate: ccsd(t)/cc-pvdz}\n"
        "  - {name: odd, smiles: O, multiplicity: 2}\n"
    )
    result = cli("check", str(path))
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert all(line.startswith(str(path)) for line in lines)
    assert any("acurate" in line and "accurate" in line for line in lines)
    assert any("../escape" in line for line in lines)
    assert any("multiplicity 2 is impossible for 10 electrons" in line for line in lines)


def test_check_refuses_levels_whose_forces_are_not_proved(tmp_path: Path) -> None:
    path = tmp_path / "radical.yaml"
    path.write_text("molecules: [{name: nh2, smiles: '[NH2]', accurate: ccsd(t)/cc-pvdz}]\n")
    result = cli("check", str(path))
    assert result.returncode == 2
    assert "write ccsd/cc-pvdz" in result.stderr


def test_label_prints_energy_and_forces_as_json(water: Path) -> None:
    result = cli("label", str(water), "--level", "hf/sto-3g", "--json")
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)
    assert row["status"] == "ok"
    assert set(row) == {"status", "energy", "forces", "reason", "core_seconds"}
    # RHF/STO-3G of water near its minimum is -74.96 hartree.
    assert row["energy"] == pytest.approx(-74.96 * 27.2114, abs=0.5)
    assert len(row["forces"]) == 3


def test_label_adds_up_a_composite_level(water: Path) -> None:
    energies = {}
    for level in ("hf/3-21g", "mp2/sto-3g", "hf/sto-3g", "hf/3-21g + mp2/sto-3g - hf/sto-3g"):
        result = cli("label", str(water), "--level", level, "--json")
        assert result.returncode == 0, result.stderr
        energies[level] = json.loads(result.stdout)[0]["energy"]
    basis, correlated, small, total = energies.values()
    # Each SCF is converged to 1e-9 hartree.
    assert total == pytest.approx(basis + correlated - small, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--level", "gfn2xtb"), "did you mean 'gfn2-xtb'?"),
        (("--level", "mp2"), "needs a basis set"),
        (("--level", "mp2/cbs(t,d)"), "write mp2/cbs(d,t)"),
        (("--level", "hf/sto-3g + mp2/cc-pvdx - hf/cc-pvdx"), "did you mean 'cc-pvdz'?"),
        (("--level", "mp2/cc-pvdx"), "did you mean 'cc-pvdz'?"),
        (("--level", "gfn2-xtb", "--charge", "1", "--multiplicity", "1"), "multiplicity 1 is impossible"),
        (("--level", "gfn2-xtb", "--engine", "orca"), "orca"),
    ],
)
def test_label_says_what_is_wrong_in_one_line(water: Path, arguments: tuple[str, ...], said: str) -> None:
    result = cli("label", str(water), *arguments)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_label_of_an_absent_or_foreign_file_is_bad_input(tmp_path: Path) -> None:
    foreign = tmp_path / "notes.xyz"
    foreign.write_text("not a geometry\n")
    for path in (tmp_path / "absent.xyz", foreign):
        result = cli("label", str(path), "--level", "gfn2-xtb")
        assert result.returncode == 2
        assert len(result.stderr.strip().splitlines()) == 1


def test_status_of_an_empty_store_is_an_empty_list(tmp_path: Path) -> None:
    result = cli("status", "--store", str(tmp_path / "nothing"), "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout) == []
    assert not (tmp_path / "nothing").exists(), "looking at a store does not create it"


def test_an_exported_ion_is_labelled_as_the_ion_that_it_is(tmp_path: Path) -> None:
    """Every format of export carries charge and multiplicity, and ``label`` reads them."""
    store = Store(str(tmp_path / "store"))
    ion = Configuration([8, 1], [[0, 0, 0], [0, 0, 1.03]], charge=1, multiplicity=3)
    level = LevelOfTheory("gfn2-xtb")
    store.add_frames("ion", [Frame(ion, Origin("import"), "g", "train")], batch="b")
    store.select("ion", level, [ion.frame_id], name="s", criterion="all")
    run_campaign(store, "ion", level, workers=1)
    energy = store.labels("ion", level)[ion.frame_id].energy
    for format, file in (("extxyz", tmp_path / "ion.extxyz"), ("mace", tmp_path / "ion" / "train.xyz")):
        export_labels(store, "ion", level, format=format, out=file if format == "extxyz" else file.parent)
        result = cli("label", str(file), "--level", "gfn2-xtb", "--json")
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)[0]["energy"] == pytest.approx(energy, abs=1e-6)
    result = cli("label", str(file), "--level", "gfn2-xtb", "--charge", "0")
    assert result.returncode == 2
    assert result.stderr == (f"{file}: frame 0: charge: found 0, but the file says 1; write 1, or correct the file\n")


@pytest.fixture
def doubtful(tmp_path: Path) -> Path:
    path = tmp_path / "doubtful.yaml"
    path.write_text(
        f"store: {tmp_path / 'store'}\nmolecules: [{{name: water, smiles: O, sampling: {{timestep: 100}}}}]\n"
    )
    return path


def test_check_warns_of_likely_mistakes_and_refuses_them_when_strict(doubtful: Path) -> None:
    where = f"{doubtful}: molecules[0] (water): sampling.timestep"
    line = f"{where}: found 100 fs, which is far from usual; write 0.05 to 4 fs"
    result = cli("check", str(doubtful))
    assert (result.returncode, result.stderr) == (0, f"warning: {line}\n")
    assert result.stdout == f"{doubtful}: 1 molecule is fine but for 1 warning: water\n"
    strict = cli("check", str(doubtful), "--strict")
    assert (strict.returncode, strict.stderr) == (2, f"{line}\n")
    as_json = cli("check", str(doubtful), "--json")
    assert (as_json.returncode, json.loads(as_json.stdout)) == (0, [f"warning: {line}"])
    strict_json = cli("check", str(doubtful), "--json", "--strict")
    assert (strict_json.returncode, json.loads(strict_json.stdout)) == (2, [line])


def test_a_name_that_differs_from_one_of_the_store_in_case_alone_is_refused(doubtful: Path, tmp_path: Path) -> None:
    configuration = Configuration([8, 1, 1], [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    Store(str(tmp_path / "store")).add_frames("Water", [Frame(configuration, Origin("x"), "g", "train")], batch="b")
    result = cli("check", str(doubtful))
    assert result.returncode == 2
    assert result.stderr == (
        "water: the store has 'Water', the same folder on some file systems; write 'Water', or another name\n"
    )


def test_what_an_empty_store_has_not_is_said_without_an_empty_list(tmp_path: Path) -> None:
    for command in ("export", "audit"):
        level = ("--level", "gfn2-xtb") if command == "export" else ()
        result = cli(command, "--store", str(tmp_path / "store"), "--molecule", "water", *level)
        assert (result.returncode, result.stderr) == (2, "--molecule: the store has no 'water'; there are none yet\n")
