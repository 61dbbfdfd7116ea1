"""A round that buys energies alone: how many, and that nothing waits for their forces or is computed twice."""

from dataclasses import replace
from pathlib import Path

import pytest

from asteroid import stages
from asteroid.errors import AsteroidError
from asteroid.manifest import MoleculeSettings
from asteroid.settings import AcquisitionSettings
from asteroid.stages.label_kind import MOST_ENERGIES, choose_kind, count_labels
from asteroid.stages.round_files import loop_folder, read_rounds, with_labels
from asteroid.stages.rounds import extend_selection
from asteroid.store import Store
from asteroid.store.models import read_card
from asteroid.store.round_records import LabelChoice, Option
from tests.stages.rounds import run
from tests.stages.test_rounds import changed, manifest_in

WATER = MoleculeSettings(name="water", smiles="O", acquisition=AcquisitionSettings())


def energies(*, forces: float, energy: float) -> LabelChoice:
    return LabelChoice("energies", "", (Option("forces", forces, 0.5, 1.0), Option("energies", energy, 0.4, 2.0)))


def test_a_round_of_energies_costs_what_one_with_forces_does() -> None:
    molecule = replace(WATER, budget=WATER.budget.model_copy(update={"valid_fraction": 0.2}))
    count = count_labels(molecule, energies(forces=10.0, energy=2.0), 10)
    # A fifth is held out, with forces.
    assert count * (0.8 * 2.0 + 0.2 * 10.0) == pytest.approx(10 * 10.0, rel=0.05)
    assert count_labels(molecule, energies(forces=1000.0, energy=0.1), 10) <= MOST_ENERGIES * 10
    assert count_labels(molecule, LabelChoice("forces", ""), 10) == 10


@pytest.mark.long
def test_energies_are_labelled_as_such_and_the_round_goes_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = manifest_in(tmp_path)
    (molecule,) = stages.load_checked(manifest).molecules
    store = Store(str(tmp_path / "store"))
    run(store, changed(molecule, rounds=1))
    with pytest.raises(AsteroidError, match=r"cost of a .* energy has not been measured"):
        choose_kind(store, with_labels(molecule, {"water": 8}), seed=0)
    stages.measure_energy_cost(store, with_labels(molecule, {"water": 8}))
    measured = choose_kind(store, with_labels(molecule, {"water": 8}), seed=0)
    assert measured.reason.startswith("too few labels to measure")
    cost = store.read_json(f"{loop_folder(molecule)}/energy-cost.json")
    assert cost["core_seconds"] > 0
    assert choose_kind(store, changed(with_labels(molecule, {"water": 8}), labels="forces"), seed=0).reason.endswith(
        "forces"
    )
    monkeypatch.setattr("asteroid.stages.picking.choose_kind", lambda *_, **__: energies(forces=1.0, energy=0.9))
    run(store, molecule)
    second = read_rounds(store, molecule)[1]["water"]
    assert second.bought is not None
    assert second.bought.kind == "energies"
    splits = {frame.frame_id: frame.split for frame in second.picked}
    labels = store.labels("water", molecule.accurate)
    assert {labels[i].forces is None for i, split in splits.items() if split == "train"} == {True}
    assert {labels[i].forces is None for i, split in splits.items() if split == "valid"} <= {False}
    card = read_card(store, "water", second.model_id)
    assert card.frames.energy_only == sum(split == "train" for split in splits.values())
    assert store.pending("water", molecule.accurate) == []
    extend_selection(store, molecule, 1)
    stages.label(store, molecule, molecule.accurate, workers=1)
    made = store.attempts("water", molecule.accurate)["frame_id"].to_pylist()
    assert len(made) == len(set(made))
