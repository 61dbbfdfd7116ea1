"""What README.md and the pages of the site print, runs: manifests, Python and commands, on a small store.

Commands that take minutes are parsed, not run; ``make demo`` and the tests of each command run those, and
``make docs-tutorials`` runs the notebooks.
"""

import importlib.util
import io
import json
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from ase import Atoms

from asteroid.cli import app
from asteroid.manifest import ModelSettings
from asteroid.store import Store, paths, records
from asteroid.store.models import write_model
from asteroid.store.records import DipoleModel
from asteroid.training.model import build_model
from asteroid.validation.evidence import Evidence
from asteroid.validation.infrared import DipoleErrors, Infrared, Lines
from asteroid.version import __version__
from infra.deploy import pilot_pools
from infra.slurm.pools import read_pools
from tests.cards import bare_card
from tests.cli import cli
from tests.validation.certificates import make_certificate

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "_build" not in path.parts
}
NOTEBOOKS = {
    path.relative_to(ROOT).as_posix(): [
        "".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"
    ]
    for path in sorted((ROOT / "docs/tutorials").glob("*.ipynb"))
}
QUICK = ("import", "export", "export-model", "status", "compact")
"""Commands that are run, in the order of the page but for ``import``, which fills the store of all."""

FORMALDEHYDE = np.array([[0.0, 0.0, -0.53], [0.0, 0.0, 0.68], [0.0, 0.94, -1.12], [0.0, -0.94, -1.12]])
HYDRONIUM = "4\n\nO 0 0 0.1\nH 0.94 0 -0.2\nH -0.47 0.81 -0.2\nH -0.47 -0.81 -0.2\n"


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Page and text of each block of a language."""
    for page, text in PAGES.items():
        for found in re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            yield page, found


def params(snippets: Iterable[tuple[str, Any]]) -> list[Any]:
    """One test for each page and number."""
    return [pytest.param(snippet, id=f"{page}-{n}") for n, (page, snippet) in enumerate(snippets)]


def commands() -> list[tuple[str, list[str]]]:
    """Every line of the bash blocks and notebooks in words, continued ones joined and comments left out."""
    lines = [(page, line) for page, text in blocks("bash") for line in text.replace("\\\n", " ").splitlines()]
    lines += [
        (page, re.split(r" 2>| \|", line)[0].removeprefix("!"))
        for page, cells in NOTEBOOKS.items()
        for cell in cells
        for line in cell.splitlines()
        if line.startswith("!asteroid")
    ]
    split = [(page, shlex.split(line, comments=True)) for page, line in lines]
    return [(page, [words[0].removeprefix(".venv/bin/"), *words[1:]]) for page, words in split if words]


def mentioned() -> list[tuple[str, list[str]]]:
    """The commands within sentences, ``…`` standing for anything."""
    found = [
        (page, part)
        for page, text in PAGES.items()
        for inside in re.findall(r"`((?:asteroid|make|python -m) [^`…]+)`", text)
        for part in inside.split("&&")
    ]
    return [(page, part.split()) for page, part in found]


def written() -> Iterator[tuple[str, str]]:
    """Page and text of every YAML file."""
    yield from blocks("yaml")
    for page, cells in NOTEBOOKS.items():
        for cell in cells:
            if (parts := cell.partition("\n"))[0].startswith("%%writefile") and parts[0].endswith(".yaml"):
                yield page, parts[2]


MANIFESTS = [(page, text) for page, text in written() if "molecules:" in text]
POOLS = [(page, text) for page, text in written() if "molecules:" not in text]


def labels(seed: int) -> dict[str, np.ndarray]:
    """Twelve geometries of formaldehyde with energies and forces of springs between all atoms, as an npz has them."""
    places = FORMALDEHYDE + np.random.default_rng(0).normal(0, 0.05, (12, 4, 3))
    apart = places[:, :, None] - places[:, None]
    lengths = np.linalg.norm(apart, axis=-1) + np.eye(4)
    stretch = lengths - np.linalg.norm(FORMALDEHYDE[:, None] - FORMALDEHYDE[None], axis=-1) - np.eye(4)
    stiffness = 20.0 + seed
    forces = -stiffness * (stretch / lengths)[..., None] * apart
    energies = -3110.0 + 0.25 * stiffness * (stretch**2).sum(axis=(1, 2))
    return {"N": np.full(12, 4), "Z": np.tile([6, 8, 1, 1], (12, 1)), "R": places, "E": energies, "F": forces.sum(2)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a user stands: files to import, a store with their labels, and a model with its report."""
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed, name in enumerate(("mp2.npz", "ccsdt.npz")):
            np.savez(name, **labels(seed))
        for page, words in commands():
            if words[:2] == ["asteroid", "import"] and page not in NOTEBOOKS:
                finished = cli(*words[1:])
                assert finished.returncode == 0, finished.stderr
    settings = ModelSettings(channels=4, max_l=0, max_ell=1, correlation=2, radial=4, r_max=3.0)
    model = build_model([1, 6, 8], settings, scale=1.0, avg_num_neighbors=2.0, seed=0, dtype=torch.float64)
    model.asteroid_model_id = model_id = "0123456789abcdef"
    weights = io.BytesIO()
    torch.save(model, weights)
    store = Store(folder / "store")
    card = bare_card(molecule="formaldehyde", model_id=model_id, compositions=("CH2O",))
    write_model(store, card, weights.getvalue())
    # Two interactions of four scalar channels, beside a constant, for each of three elements.
    charges = np.random.default_rng(0).normal(0, 0.1, (3, 9))
    dipoles = DipoleModel(
        model_id=model_id,
        level="mp2",
        elements=(1, 6, 8),
        charges=charges,
        vectors=np.empty((3, 0)),
        labels=9,
        cheap_labels=0,
    )
    records.write(store, paths.dipole_model("formaldehyde", model_id), dipoles)
    lines = Lines(np.array([1500.0]), np.array([10.0]))
    errors = DipoleErrors(5, 0.01, 0.1, 0.2, 1.0, 20, 200)
    evidence = Evidence(infrared=Infrared(errors, lines, lines, None))
    certificate = replace(make_certificate(evidence=evidence), model_id=model_id, model="formaldehyde")
    records.write(store, f"reports/formaldehyde/{model_id}-cafe/certificate.json", certificate, nulls=True)
    return folder


def parse(words: list[str]) -> None:
    """Read a command of asteroid as its program does: it refuses what it does not know, and what is missing."""
    group = typer.main.get_command(app)
    _, command, rest = group.resolve_command(group.make_context("asteroid", words[1:]), words[1:])
    command.make_context(words[1], rest)


OURS = [(page, words) for page, words in commands() if words[0] == "asteroid"]


@pytest.mark.parametrize("words", params(OURS))
def test_an_asteroid_command_is_understood_as_printed(words: list[str]) -> None:
    parse(words)


RUN = {
    tuple(words): page for page, words in OURS if words[1] in QUICK and "--watch" not in words and page not in NOTEBOOKS
}


@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_a_quick_asteroid_command_runs_as_printed(
    words: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    finished = cli(*words[1:])
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("text", params(MANIFESTS))
def test_a_manifest_is_accepted_as_printed(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-ion.xyz").write_text(HYDRONIUM)
    Atoms("COH2", FORMALDEHYDE).write(tmp_path / "formaldehyde.xyz")
    (tmp_path / "mine.yaml").write_text(text)
    assert yaml.safe_load(text)["molecules"]
    finished = cli("check", "mine.yaml")
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("text", params(POOLS))
def test_pools_are_accepted_as_printed(text: str, tmp_path: Path) -> None:
    (tmp_path / "pools.yaml").write_text(text)
    assert read_pools(tmp_path / "pools.yaml", pilot_pools())


@pytest.mark.parametrize("text", params(blocks("python")))
def test_python_runs_as_printed(
    text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    exec(compile(text, "README.md", "exec"), {})
    assert capfd.readouterr().out.strip()  # each shows something


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_a_notebook_has_been_run_without_an_error(page: str) -> None:
    code = [cell for cell in json.loads((ROOT / page).read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(output["output_type"] != "error" for cell in code for output in cell["outputs"])


def test_every_other_command_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    deployments = {
        f"{one['entrypoint'].split(':')[1]}/{one['name']}": one.get("parameters", {})
        for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    }
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    others = [(page, words) for page, words in [*commands(), *mentioned()] if words[0] != "asteroid"]
    for page, words in others:
        match words:
            case ["make", target]:
                assert target in targets, (page, target)
            case ["python", "-m", module, *options]:
                found = importlib.util.find_spec(module)
                assert found is not None, (page, module)
                assert found.origin
                source = Path(found.origin).read_text()
                assert all(f'"{option}"' in source for option in options if option.startswith("--")), (page, words)
            case ["prefect", "deployment", "run", name, "-p", parameter, *_]:
                assert parameter.split("=")[0] in deployments[name], page
            case ["pip", "install", wheel]:
                assert wheel.removesuffix("[all]") == f"asteroid_forcefields-{__version__}-py3-none-any.whl", page
                assert "all" in extras
            case ["sbatch", *_, "--wrap", command]:
                parse(command.removeprefix(".venv/bin/").split())
            case ["git", "clone", _, "asteroid", "&&", "cd", "asteroid"]:
                pass
            case _:
                pytest.fail(f"{page} has a command that this test does not know: {' '.join(words)}")
    assert {words[0] for _, words in others} == {"make", "python", "prefect", "pip", "sbatch", "git"}


def test_every_mentioned_command_of_asteroid_has_its_options() -> None:
    known = typer.main.get_command(app).commands
    found = [(page, words) for page, words in mentioned() if words[0] == "asteroid"]
    assert found
    for page, words in found:
        options = {option for parameter in known[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, (page, words)


def test_files_that_are_linked_exist() -> None:
    links = [
        (page, link)
        for page, text in PAGES.items()
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
        + re.findall(r'(?:src="|^:file: |^```\{(?:literal)?include\} )([^"\s]+)', text, re.MULTILINE)
    ]
    assert len(links) > 50
    assert [(page, link) for page, link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_files_that_are_mentioned_exist() -> None:
    mentioned_files = [
        (page, path)
        for page, text in PAGES.items()
        for path in re.findall(r"`((?:manifests|infra|benchmarks|asteroid|tests)/[\w./-]+)`", text)
    ]
    assert mentioned_files
    missing = [(page, path) for page, path in mentioned_files if not (ROOT / path).exists()]
    assert [one for one in missing if not one[1].endswith("mine.yaml")] == []


def test_citation_changelog_and_start_have_this_version() -> None:
    assert str(yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]) == __version__
    assert re.findall(r"^## (\S+)", PAGES["CHANGELOG.md"], re.MULTILINE)[0] == __version__
