import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.errors import AsteroidError, InputError
from asteroid.labelling.campaign import label_configurations
from asteroid.levels import LevelOfTheory
from asteroid.manifest import LabellingSettings, LabelSettings, MoleculeSettings
from asteroid.stages import expected_label_seconds, label, load_checked
from asteroid.store import Store
from asteroid.store.rows import Attempt

RADICAL = "molecules: [{name: ho2, smiles: '[O]O', accurate: ccsd(t)/6-31g, labelling: {accurate: {forces: FORCES}}}]"


def test_a_radical_may_have_the_coupled_cluster_energies_whose_forces_are_not_proved(tmp_path: Path) -> None:
    manifest = tmp_path / "m.yaml"
    manifest.write_text(RADICAL.replace("FORCES", "false"))
    assert not load_checked(manifest).molecules[0].labelling.accurate.forces
    manifest.write_text(RADICAL.replace("FORCES", "true"))
    with pytest.raises(InputError, match="energies only"):
        load_checked(manifest)


def test_what_a_label_takes_is_learnt_from_labels_of_its_kind(tmp_path: Path) -> None:
    store, level = Store(tmp_path), LevelOfTheory.parse("ccsd(t)/cc-pvdz")
    molecules = [
        MoleculeSettings(name="water", smiles="O", labelling=LabellingSettings(accurate=LabelSettings(forces=forces)))
        for forces in (True, False)
    ]
    guesses = [expected_label_seconds(store, molecule, level) for molecule in molecules]
    assert guesses[0] == guesses[1] > 0
    now = dt.datetime.now(dt.UTC)
    for forces, seconds in ((np.zeros((3, 3)), 20.0), (None, 3.0), (None, 5.0)):
        label = Attempt(
            frame_id=f"{seconds}",
            status="ok",
            energy=-1.0,
            forces=forces,
            wall_seconds=seconds,
            cores=2,
            program="pyscf",
            time=now,
        )
        # An imported one cost nothing here and says nothing.
        free = dataclasses.replace(label, frame_id=f"free-{seconds}", wall_seconds=0.0, program="import")
        store.add_attempts("water", level, [label, free])
    assert [expected_label_seconds(store, molecule, level) for molecule in molecules] == [40.0, 8.0]


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (100.0, 1.0), (0.0, 27.2)], ids=["right", "zero", "unit"])
def test_imported_labels_that_are_not_of_their_level_are_not_mixed_with_computed_ones(
    tmp_path: Path, shift: float, scale: float
) -> None:
    store, level = Store(tmp_path), LevelOfTheory.parse("gfn2-xtb")
    molecule = MoleculeSettings(name="water", smiles="O")
    base = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    noise = np.random.default_rng(0).normal(scale=0.03, size=(4, 3, 3))
    frames = [Frame(Configuration([8, 1, 1], base + one), Origin("import"), "0", "train") for one in noise]
    store.add_frames("water", frames, batch="0")
    ids = [frame.frame_id for frame in frames]
    store.select("water", level, ids, name="all", criterion="test")
    computed = label_configurations([frames[0].configuration], level)
    store.add_attempts(
        "water",
        level,
        [
            dataclasses.replace(one, energy=(one.energy + shift) * scale, forces=one.forces * scale, program="import")
            for one in computed
        ],
    )
    if shift or scale != 1.0:
        with pytest.raises(AsteroidError, match="the imported labels at gfn2-xtb are not what is computed here"):
            label(store, molecule, level, workers=1)
        assert store.pending("water", level) == ids[1:]
    else:
        assert label(store, molecule, level, workers=1).ok == 3
