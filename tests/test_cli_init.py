"""``asteroid init`` and ``asteroid open``: a manifest to begin with, and the report to look at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import molecule
from ase.io import write

from asteroid.cli.init import HOURS, manifest_of
from asteroid.errors import InputError
from asteroid.manifest import load_manifest
from asteroid.report.index import write_index
from asteroid.report.write import write_report
from asteroid.stages.first_manifest import first_manifest
from asteroid.store import Store
from tests.cli import cli
from tests.report.conftest import fill
from tests.validation.certificates import make_card, make_certificate, make_scratch_card


@pytest.mark.parametrize(
    ("smiles", "core_hours", "level"),
    [
        ("O", 1, "ccsd(t)/cc-pvtz"),
        ("CCO", 3, "ccsd(t)/cc-pvdz"),
        ("CCO", 0.5, "df-wb97m-d3bj/def2-tzvp"),
        ("CC(=O)Nc1ccc(O)cc1", 12, "df-wb97m-d3bj/def2-tzvp"),
        ("CC(=O)Nc1ccc(O)cc1", 2, "df-b3lyp-d3bj/def2-svp"),
        ("C" * 30, 12, "df-pbe-d3bj/def2-svp"),  # it takes longer, but nothing is cheaper
    ],
)
def test_the_best_level_that_the_time_allows_is_chosen(
    smiles: str, core_hours: float, level: str, tmp_path: Path
) -> None:
    found = first_manifest(smiles, tmp_path / "first.yaml", core_hours=core_hours)
    assert str(found.level) == level
    assert (found.core_hours <= core_hours) == (smiles != "C" * 30)


def test_a_level_that_needs_more_memory_than_there_is_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # CCSD(T)/cc-pVTZ of ethanol takes 7 GB.
    for memory, level in ((16_000, "ccsd(t)/cc-pvtz"), (4_000, "ccsd(t)/cc-pvdz")):
        monkeypatch.setattr("asteroid.stages.first_manifest.machine_memory", lambda memory=memory: memory)
        assert str(first_manifest("CCO", tmp_path / "first.yaml", core_hours=1000).level) == level


def test_the_manifest_is_accepted_and_has_a_chain_of_levels(tmp_path: Path) -> None:
    target = tmp_path / "first.yaml"
    finished = cli("init", "CCO", str(target))
    assert finished.returncode == 0, finished.stderr
    (settings,) = load_manifest(target).molecules
    assert (settings.name, settings.smiles, settings.chain) == ("CCO", "CCO", "auto")
    assert str(settings.accurate) in finished.stdout


def test_a_file_is_found_from_the_folder_of_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    write(tmp_path / "my water.xyz", molecule("H2O"))
    monkeypatch.chdir(tmp_path)
    assert cli("init", "my water.xyz", "there/m.yaml", "--level", "mp2/cc-pvdz").returncode == 0
    (settings,) = load_manifest(Path("there/m.yaml")).molecules
    assert (settings.name, settings.geometry) == ("my-water", tmp_path / "my water.xyz")
    assert str(settings.accurate) == "mp2/cc-pvdz"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["absent.xyz"], "or the path of a file that exists"),
        (["O", "--level", "ccsdt/cc-pvdz"], "unknown method 'ccsdt'"),
        (["O", "--name", "../out"], "cannot be a folder of the store"),
        (["[U]O"], "no known element"),
        (["[Xe]O", "--level", "mp2/6-31g*"], "write a def2 basis set"),
    ],
)
def test_what_a_manifest_refuses_is_one_line_and_no_file(arguments: list[str], problem: str, tmp_path: Path) -> None:
    target = tmp_path / "first.yaml"
    finished = cli("init", arguments[0], str(target), *arguments[1:])
    assert (finished.returncode, finished.stderr.count("\n")) == (2, 1)
    assert problem in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line() -> None:
    finished = cli("init", "O", "/proc/first.yaml")
    assert (finished.returncode, finished.stderr.count("\n")) == (2, 1)
    assert finished.stderr.startswith("/proc/first.yaml: cannot be written")


def test_a_long_smiles_gives_a_name_that_a_manifest_accepts(tmp_path: Path) -> None:
    found = first_manifest("C(O)" * 30, tmp_path / "first.yaml", levels=["gfn1-xtb"], core_hours=1)
    assert "name: C-O-C" in found.text


def test_a_manifest_is_never_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "first.yaml"
    target.write_text("mine")
    assert cli("init", "O", str(target)).returncode == 2
    assert target.read_text() == "mine"


def test_open_names_the_newest_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    store = fill(Store(tmp_path / "store"))
    assert "run a manifest" in cli("open", "--store", store.url).stderr
    certificate = make_certificate(loose=False)
    for folder in ("older", "newer"):
        report = write_report(
            store, "water", certificate, make_card(), make_scratch_card(), folder=f"reports/water/{folder}"
        )
    write_index(store)
    finished = cli("open", "--store", store.url)
    assert finished.stdout.strip() == report
    assert shown == [Path(report).as_uri()]
    assert "no report of 'ethanol'" in cli("open", "ethanol", "--store", store.url).stderr


def test_a_molecule_runs_without_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = manifest_of("CCO", "hf/sto-3g", HOURS)
    (settings,) = load_manifest(written).molecules
    assert (written, str(settings.accurate)) == (Path("CCO.yaml"), "hf/sto-3g")
    # The same command goes on with it; another level does not replace it.
    assert manifest_of("CCO", "hf/sto-3g", HOURS) == written
    with pytest.raises(InputError, match=r"^CCO.yaml: found another manifest than that of 'CCO'; write 'asteroid run"):
        manifest_of("CCO", "mp2/cc-pvdz", HOURS)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere.xyz"], "found 'nowhere.xyz', which is not a SMILES; write one such as 'CO' (methanol), or the path"),
        (["O", "--level", "hf/none"], "hf/none"),
        (["m.yaml", "--level", "hf/sto-3g"], "m.yaml: found --level or --hours beside a manifest; write the level"),
    ],
)
def test_a_run_of_a_wrong_molecule_is_refused_on_one_line(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    finished = cli("run", *arguments)
    assert finished.returncode == 2
    assert line in finished.stderr
    assert len(finished.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_shells_complete_the_commands() -> None:
    asked = {"_ASTEROID_COMPLETE": "complete_bash", "COMP_WORDS": "asteroid ex", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", "from asteroid.cli import main; main()"]
    finished = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert "export" in finished.stdout.split()
