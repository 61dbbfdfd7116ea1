"""What README.md prints, runs: its manifests, its Python and its commands, on a small store.

Commands that take minutes are parsed, not run; ``make demo`` and the tests of each command run those.
"""

import importlib.util
import io
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
import yaml

from asteroid.cli import app
from asteroid.manifest import ModelSettings
from asteroid.store import Store, records
from asteroid.store.models import write_model
from asteroid.training.model import build_model
from tests.cards import bare_card
from tests.cli import cli
from tests.validation.certificates import make_certificate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
QUICK = ("import", "export", "status", "compact")
"""Commands that are run, in the order of the page but for ``import``, which fills the store of all."""

FORMALDEHYDE = np.array([[0.0, 0.0, -0.53], [0.0, 0.0, 0.68], [0.0, 0.94, -1.12], [0.0, -0.94, -1.12]])
HYDRONIUM = "4\n\nO 0 0 0.1\nH 0.94 0 -0.2\nH -0.47 0.81 -0.2\nH -0.47 -0.81 -0.2\n"


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def commands() -> list[list[str]]:
    """Every line of the bash blocks in words, continued ones joined and comments left out."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def mentioned() -> list[list[str]]:
    """The commands within sentences, ``…`` standing for anything."""
    found = re.findall(r"`((?:asteroid|make|python -m) [^`…]+)`", README)
    return [part.split() for text in found for part in text.split("&&")]


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
        for words in commands():
            if words[:2] == ["asteroid", "import"]:
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
    certificate = replace(make_certificate(), model_id=model_id, model="formaldehyde")
    records.write(store, f"reports/formaldehyde/{model_id}-cafe/certificate.json", certificate, nulls=True)
    return folder


@pytest.mark.parametrize("words", [words for words in commands() if words[0] == "asteroid"], ids=" ".join)
def test_an_asteroid_command_runs_as_printed(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if words[1] in QUICK:
        finished = cli(*words[1:])
        assert finished.returncode == 0, finished.stderr
        return
    group = typer.main.get_command(app)
    _, command, rest = group.resolve_command(group.make_context("asteroid", words[1:]), words[1:])
    command.make_context(words[1], rest)  # refuses what it does not know, and what is missing


@pytest.mark.parametrize("text", blocks("yaml"), ids=lambda text: text.split()[0])
def test_a_manifest_is_accepted_as_printed(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-ion.xyz").write_text(HYDRONIUM)
    whole = text if "molecules:" in text else f"molecules:\n{text}"
    (tmp_path / "mine.yaml").write_text(whole)
    assert yaml.safe_load(whole)["molecules"]
    finished = cli("check", "mine.yaml")
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("text", blocks("python"), ids=lambda text: text.splitlines()[-1])
def test_python_runs_as_printed(
    text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    exec(compile(text, "README.md", "exec"), {})
    assert capfd.readouterr().out.strip()  # each shows something


def test_every_other_command_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    deployments = {
        f"{one['entrypoint'].split(':')[1]}/{one['name']}": one.get("parameters", {})
        for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    }
    others = [words for words in [*commands(), *mentioned()] if words[0] != "asteroid"]
    for words in others:
        match words:
            case ["make", target]:
                assert target in targets, target
            case ["python", "-m", module, *options]:
                found = importlib.util.find_spec(module)
                assert found is not None, module
                assert found.origin
                source = Path(found.origin).read_text()
                assert all(f'"{option}"' in source for option in options if option.startswith("--")), words
            case [".venv/bin/prefect", "deployment", "run", name, "-p", parameter, *_]:
                assert parameter.split("=")[0] in deployments[name]
            case _:
                pytest.fail(f"README has a command that this test does not know: {' '.join(words)}")
    assert {words[0] for words in others} == {"make", "python", ".venv/bin/prefect"}


def test_every_mentioned_command_of_asteroid_has_its_options() -> None:
    known = typer.main.get_command(app).commands
    found = [words for words in mentioned() if words[0] == "asteroid"]
    assert found
    for words in found:
        options = {option for parameter in known[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


def test_files_that_are_linked_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
