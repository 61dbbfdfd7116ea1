"""A store of version 0.1 is read as that version read it: ``version_0_1``, written and compacted by its code."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from asteroid.levels import LevelOfTheory
from asteroid.manifest import AcquisitionSettings, MoleculeSettings, TrainingSettings
from asteroid.stages.atoms import lacks_atoms, missing_atoms
from asteroid.stages.models import Models, trained_models
from asteroid.stages.rounds import next_round
from asteroid.store import Store
from asteroid.store.models import read_card

CHEAP, ACCURATE = LevelOfTheory.parse("gfn2-xtb"), LevelOfTheory.parse("hf/sto-3g")
H2 = MoleculeSettings(
    name="h2",
    smiles="[H][H]",
    cheap=CHEAP,
    accurate=ACCURATE,
    training=TrainingSettings(pretrain_steps=7),
    acquisition=AcquisitionSettings(batch=3),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    shutil.copytree(Path(__file__).parent / "version_0_1", tmp_path / "store")
    return Store(tmp_path / "store")


def test_rows_are_what_they_were(store: Store) -> None:
    ids = [frame.frame_id for frame in store.frames("h2")]
    for _ in range(2):
        energies = [label.energy for label in store.labels("h2", CHEAP).values()]
        # The last frame's first label was rejected, by the clock, and another followed.
        assert energies == [-30.0, -31.0, -32.0, -33.0, -34.0, -99.0]
        assert set(store.labels("h2", ACCURATE)) == {ids[1], ids[2]}
        assert store.selected("h2", ACCURATE) == [ids[1], ids[0], ids[2]]
        assert store.pending("h2", CHEAP) == []
        (cheap, _) = store.status()
        assert (cheap["level"], cheap["ok"], cheap["rejected"]) == ("gfn2-xtb", 6, 0)
        store.compact("h2")


def test_rounds_models_and_cards_are_found(store: Store) -> None:
    assert next_round(store, H2).picked
    # Left out of this repository: the weights, which nobody opens here, and the baseline.
    for model_id in ("0123456789abcdef", "fedcba9876543210"):
        store.write(f"models/h2/{model_id}/model.model", b"weights")
    store.write_json("models/h2/fedcba9876543210/card.json", {"model_id": "fedcba9876543210"})
    assert trained_models(store, H2) == Models("0123456789abcdef", "fedcba9876543210")
    # What later versions added has its default.
    card = read_card(store, "h2", "0123456789abcdef")
    assert (card.core_seconds, card.gpu_seconds, card.molecules, card.adds_to) == (1.5, 0.0, ("h2",), None)
    assert (card.frames.cheap, card.frames.paired, card.weights and card.weights.atoms) == (3, 0, None)
    # Such a store has no free atoms. A finished model keeps its zero, another one is to have them.
    assert missing_atoms(store, "h2", ACCURATE) == [1]
    assert not lacks_atoms(store, H2, ACCURATE)
    assert lacks_atoms(store, dataclasses.replace(H2, training=TrainingSettings(pretrain_steps=8)), ACCURATE)


def test_a_moved_manifest_goes_on_with_its_rounds(store: Store, tmp_path: Path) -> None:
    def starting_from(path: Path) -> MoleculeSettings:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"a model")
        return dataclasses.replace(H2, training=H2.training.model_copy(update={"foundation": str(path)}))

    from asteroid.stages.round_files import loop_folder
    from asteroid.stages.rounds import begin_rounds

    here, there = starting_from(tmp_path / "here/start.model"), starting_from(tmp_path / "there/start.model")
    assert not next_round(store, here).picked
    begin_rounds(store, here)
    assert next_round(store, there).picked
    assert loop_folder(here) == loop_folder(there)
