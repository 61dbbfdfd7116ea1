"""Models of several molecules in a manifest: who trains them, who judges them, and one line for each mistake."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from asteroid.errors import InputError
from asteroid.manifest import Manifest, MoleculeSettings, load_manifest
from tests.manifest_problems import check_manifest

MOLECULES = """
defaults: {accurate: hf/sto-3g, training: {pretrain_steps: 70, finetune_steps: 7}}
molecules:
  - {name: water, smiles: O}
  - {name: methanol, smiles: CO}
  - {name: ethanol, smiles: CCO}
"""


def load(folder: Path, models: str) -> Manifest:
    path = folder / "m.yaml"
    path.write_text(MOLECULES + f"models: [{models}]\n")
    return load_manifest(path)


def only(folder: Path, models: str, molecules: str = MOLECULES) -> str:
    """The one problem."""
    path = folder / "m.yaml"
    path.write_text(molecules + f"models: [{models}]\n")
    (problem,) = check_manifest(path)
    assert "\n" not in problem
    return problem.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", ["..", "../other", "/etc", "a\\b", ".", "", " ", "a\n", "a\0", "é", "a" * 65])
@pytest.mark.parametrize("of", ["molecule", "model", "member"])
def test_what_a_worker_is_told_names_only_folders_of_the_store(name: str, of: str) -> None:
    water = {"name": "water", "smiles": "O"}
    bad = {**water, "name": name}
    told = {
        "molecule": bad,
        "model": {**water, "model": {"name": name, "molecules": [water]}},
        "member": {**water, "model": {"name": "both", "molecules": [water, bad]}},
    }
    with pytest.raises(InputError, match="cannot be a folder of the store"):
        TypeAdapter(MoleculeSettings).validate_python(told[of])


def test_without_models_each_molecule_has_one_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(MOLECULES)
    found = load_manifest(path)
    assert [(m.name, m.model_name) for m in found.molecules] == [(n, n) for n in ("water", "methanol", "ethanol")]
    assert [m.model for m in found.molecules] == [None] * 3


def test_a_model_has_its_molecules_and_its_training_and_the_rest_keep_their_own(tmp_path: Path) -> None:
    found = load(tmp_path, "{name: alcohols, molecules: [methanol], judge: [ethanol], training: {finetune_steps: 9}}")
    names = [(m.name, m.model_name) for m in found.molecules]
    assert names == [("methanol", "alcohols"), ("ethanol", "alcohols"), ("water", "water")]
    methanol, ethanol, water = found.molecules
    assert [(m.training.pretrain_steps, m.training.finetune_steps) for m in found.molecules] == [
        (70, 9),
        (70, 9),
        (70, 7),
    ]
    assert [m.is_only_judged for m in (methanol, ethanol, water)] == [False, True, False]
    # Nothing is bought to learn from of a molecule that only judges.
    assert [ethanol.accurate_labels(split) for split in ("train", "valid", "test")] == [0, 0, 20]
    assert [methanol.accurate_labels(split) for split in ("train", "valid", "test")] == [40, 10, 20]
    # As Prefect passes it to a worker.
    adapter = TypeAdapter(MoleculeSettings)
    assert adapter.validate_python(adapter.dump_python(ethanol, mode="json")) == ethanol


def test_all_means_all_but_those_that_judge(tmp_path: Path) -> None:
    found = load(tmp_path, "{name: everything, molecules: all, judge: [ethanol]}")
    assert [m.name for m in found.molecules[0].trained_on] == ["water", "methanol"]


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("{name: a, molecules: [watr]}", "models[0] (a): molecules: found 'watr', no molecule; did you mean 'water'?"),
        ("{name: a, molecules: [water], judge: [water]}", "judge: found 'water', which trains the model too"),
        ("{name: a, molecules: [water], judge: [ethanol]}", "found 'ethanol' with C, which no molecule that trains"),
        ("{name: a, molecules: water}", "molecules: found 'water'"),
        ("{name: a, molecules: []}", "molecules: found an empty list"),
        ("{name: water, molecules: [methanol]}", "name: found 'water', which is the name of a molecule"),
        (
            "{name: a, molecules: [water], acquisition: {initial: 500}}",
            "acquisition.initial: found 500, more than budget.accurate: 50",
        ),
        ("{name: a, molecules: [water]}, {name: A, molecules: [methanol]}", "which models[0] has too"),
        ("{name: ../a, molecules: [water]}", "models[0] (../a): "),
        ("7", "models[0]: found '7'; write keys and values"),
        ("{name: a, molecules: all, judg: [water]}", "judge"),
    ],
)
def test_a_mistake_in_a_model_is_one_line(tmp_path: Path, models: str, said: str) -> None:
    assert said in only(tmp_path, models)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("accurate: pbe/sto-3g", "accurate: found 'hf/sto-3g' for molecule 'water' and 'pbe/sto-3g' for 'methanol'"),
        ("training: {strategy: scratch}", "has training: of its own"),
    ],
)
def test_molecules_of_one_model_have_the_same_levels_and_no_training_of_their_own(
    tmp_path: Path, change: str, said: str
) -> None:
    molecules = MOLECULES.replace("smiles: CO}", f"smiles: CO, {change}}}")
    assert said in only(tmp_path, "{name: a, molecules: [water, methanol]}", molecules)


def test_molecules_of_a_model_have_one_chain_and_judges_no_labels_in_between(tmp_path: Path) -> None:
    text = "{name: alcohols, molecules: [methanol], judge: [ethanol], training: {ladder: [hf/sto-3g]}}"
    path = tmp_path / "m.yaml"
    path.write_text(MOLECULES.replace("accurate: hf/sto-3g", "accurate: mp2/sto-3g") + f"models: [{text}]\n")
    methanol, ethanol, water = load_manifest(path).molecules
    assert list(methanol.ladder_labels.values()) == [200]
    assert list(ethanol.ladder_labels.values()) == [0]
    # No chain is chosen unless it is asked for: the network for all molecules would be lost.
    assert (methanol.chain, water.chain) == (None, "auto")
    auto = MOLECULES.replace("defaults: {", "defaults: {chain: auto, ")
    path.write_text(auto + "models: [{name: alcohols, molecules: [methanol, ethanol]}]\n")
    assert [molecule.chain for molecule in load_manifest(path).molecules] == ["auto"] * 3
    mixed = MOLECULES.replace("smiles: CO}", "smiles: CO, chain: auto}")
    assert only(tmp_path, "{name: alcohols, molecules: [methanol, ethanol]}", mixed) == (
        "models[0] (alcohols): chain: found auto for molecule 'methanol' and null for 'ethanol'; write one for all"
    )
