"""What a model's energies are measured from, and what it says of molecules that it was not made for."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from asteroid.errors import InputError
from asteroid.processes import call_in_process
from asteroid.stages.atoms import compute_atoms, missing_atoms
from asteroid.store import Store
from asteroid.training.baseline import Baseline, checked, read_baseline
from asteroid.training.run import Card, load_calculator
from tests.training.conftest import train_model

from .conftest import ACCURATE, CHEAP, Labels, fill, label, tiny_settings

FREE = {1: -10.7072, 6: -48.7981, 8: -102.5218}
"""eV, GFN2-xTB: tblite's own tests of the periodic table."""


@pytest.fixture(scope="module")
def methanol() -> Labels:
    atoms = molecule("CH3OH")
    noise = np.random.default_rng(1).normal(scale=0.05, size=(24, 6, 3))
    return label(atoms.numbers.tolist(), atoms.positions + noise)


@pytest.fixture(scope="module")
def trained(methanol: Labels, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Card]:
    store = Store(tmp_path_factory.mktemp("store"))
    ids = fill(store, methanol, "methanol")
    compute_atoms(store, "methanol", ACCURATE)
    settings = tiny_settings(scratch_steps=200, evaluate_every=100)
    return store, train(store, ids, settings=settings)


def train(store: Store, ids: list[str], **options: object) -> Card:
    arguments: dict[str, object] = {
        "strategy": "scratch",
        "cheap": CHEAP,
        "accurate": ACCURATE,
        "train_ids": ids[:16],
        "valid_ids": ids[16:],
        "cheap_ids": ids,
        "settings": tiny_settings(scratch_steps=1, evaluate_every=1),
        **options,
    }
    return train_model(store, "methanol", **arguments)  # type: ignore[arg-type]


@pytest.mark.long
def test_elements_of_a_model_have_the_energies_of_free_atoms(trained: tuple[Store, Card]) -> None:
    store, card = trained
    found = card.reference_energies
    # 1e-3 eV: digits of the published values.
    assert found == pytest.approx({"H": FREE[1], "C": FREE[6], "O": FREE[8]}, abs=1e-3)
    assert card.baseline == "free atoms at gfn2-xtb"
    assert card.compositions == ("CH4O",)
    calculator = load_calculator(store, "methanol", card.model_id, device="cpu")
    assert calculator.models[0].atomic_energies_fn.atomic_energies.flatten().tolist() == list(found.values())
    assert float(calculator.models[0].scale_shift.shift) == card.energy_shift


@pytest.mark.parametrize("name", ["H2O", "CH3CH2OH"])
def test_energies_of_molecules_that_a_model_was_not_made_for_are_sane(trained: tuple[Store, Card], name: str) -> None:
    store, card = trained
    atoms = molecule(name)
    (true,) = label(atoms.numbers.tolist(), atoms.positions[None]).accurate
    atoms.calc = load_calculator(store, "methanol", card.model_id, device="cpu")
    with pytest.warns(UserWarning, match=f"trained on CH4O alone and is asked for {true.configuration.formula}"):
        energy = atoms.get_potential_energy()
    # 1 eV per atom: binding energies per atom differ by 0.5 between these molecules. It had been thousands of eV.
    assert abs(energy - true.energy) < len(atoms)
    free = sum(FREE[z] for z in atoms.numbers)
    assert -8.0 < (energy - free) / len(atoms) < -2.0


def test_a_calculator_warns_once_for_each_composition_and_not_for_its_own(trained: tuple[Store, Card]) -> None:
    store, card = trained
    calculator = load_calculator(store, "methanol", card.model_id, device="cpu")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("CH3OH", "H2O", "H2O", "CH4"):
            atoms = molecule(name)
            atoms.rattle(0.01)
            atoms.calc = calculator
            atoms.get_forces()
    assert [
        str(w.message).partition("asked for ")[2].partition(":")[0] for w in caught if "asked" in str(w.message)
    ] == [
        "H2O",
        "CH4",
    ]


def test_formulas_are_those_of_cards_and_not_of_ase(tmp_path: Path) -> None:
    # ASE writes HF, a card FH.
    store = Store(tmp_path)
    positions = np.array([[[0, 0, 0], [0, 0, d]] for d in np.linspace(0.85, 1.05, 24)])
    card = train(store, fill(store, label([1, 9], positions), "methanol"))
    assert card.compositions == ("FH",)
    atoms = molecule("HF")
    atoms.calc = load_calculator(store, "methanol", card.model_id, device="cpu")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*alone and is asked for")
        atoms.get_potential_energy()


def test_elements_that_a_model_does_not_know_are_refused(trained: tuple[Store, Card]) -> None:
    store, card = trained
    atoms = molecule("CH3NO2")
    atoms.calc = load_calculator(store, "methanol", card.model_id, device="cpu")
    with pytest.raises(InputError, match=r"knows H, C, O and not N \(in CH3NO2\)"):
        atoms.get_potential_energy()


def test_another_baseline_is_another_model_with_the_same_forces_and_energies(methanol: Labels, tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = fill(store, methanol, "methanol")
    without = train(store, ids)
    compute_atoms(store, "methanol", ACCURATE)
    with_atoms = train(store, ids)
    assert without.model_id != with_atoms.model_id
    assert without.baseline.startswith("none")
    # Training sees energies relative to their mean, whatever the zero; 1e-6 is rounding of thousands of eV.
    for name in ("valid_force_mae", "valid_energy_mae"):
        assert getattr(with_atoms, name) == pytest.approx(getattr(without, name), rel=1e-6)


@pytest.mark.long
def test_a_difference_of_levels_has_the_difference_of_their_atoms(methanol: Labels, tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = fill(store, methanol, "methanol")
    for level in (ACCURATE, CHEAP):
        compute_atoms(store, "methanol", level)
    atoms = {level: store.atoms(level)["C"].energy for level in (ACCURATE, CHEAP)}
    card = train(store, ids, strategy="delta")
    assert card.reference_energies["C"] == pytest.approx(atoms[ACCURATE] - atoms[CHEAP], abs=1e-9)
    assert card.baseline == "free atoms at gfn2-xtb minus free atoms at gfn1-xtb"


def test_free_atoms_are_computed_once_by_two_runs_at_once(methanol: Labels, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    store = Store(tmp_path)
    fill(store, methanol, "methanol")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: call_in_process(compute_atoms, store, "methanol", ACCURATE), range(2)))
    records = store.atoms(ACCURATE)
    assert missing_atoms(store, "methanol", ACCURATE) == []
    assert set(records) == {"H", "C", "O"}
    assert all(record.cpu_seconds > 0 and record.molecule == "methanol" for record in records.values())
    before = dict(records)
    compute_atoms(store, "methanol", ACCURATE)
    assert store.atoms(ACCURATE) == before


def test_levels_that_asteroid_does_not_compute_borrow_atoms_where_these_make_sense(
    methanol: Labels, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    level = dataclasses.replace(ACCURATE, method="ccsd(t)-f12", basis="cc-pvtz-f12")
    stand_in = read_baseline(store, level, [1, 6, 8])
    assert stand_in.source == "free atoms at pbe0/def2-tzvp, in place of ccsd(t)-f12/cc-pvtz-f12"
    numbers = [np.array([8, 1, 1])]
    # Water at that level is at -2079 eV; -9.9 eV is its energy relative to free atoms.
    assert checked(stand_in, numbers, [-2078.9]) is stand_in
    assert checked(stand_in, numbers, [-9.9]) == Baseline()
    assert read_baseline(store, ACCURATE, [1, 8]) == Baseline()
