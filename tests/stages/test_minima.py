"""The way to the accurate minimum leads along accurate forces; without them there is none. GFN2 plays the model."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from asteroid.levels import LevelOfTheory
from asteroid.manifest import LabellingSettings, LabelSettings, MoleculeSettings, SamplingSettings
from asteroid.sampling import sample
from asteroid.stages.minima import compare_to_accurate, minimum_path, propose_minimum, starting_structure
from asteroid.store import Store
from asteroid.store.rows import Attempt
from asteroid.validation.minimum import ModelMinimum, model_hessian

MODEL = "0123456789abcdef"


def water(*, forces: bool) -> MoleculeSettings:
    return MoleculeSettings(
        name="water",
        smiles="O",
        accurate=LevelOfTheory.parse("hf/sto-3g"),
        sampling=SamplingSettings(frames=10, methods=("normal-modes",)),
        labelling=LabellingSettings(accurate=LabelSettings(forces=forces)),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Sampled water and the minimum of its model."""
    from tblite.ase import TBLite

    store = Store(tmp_path_factory.mktemp("store"))
    sample(store, water(forces=True))
    found = starting_structure(store, water(forces=True))
    hessian = model_hessian(TBLite(method="GFN2-xTB", verbosity=0), found)
    content = {"positions": found.positions.tolist(), "hessian": hessian.tolist(), "converged": True}
    store.write_json(f"models/water/{MODEL}/minimum.json", content)
    return store


def test_without_accurate_forces_no_label_is_spent_and_the_model_s_own_frequencies_are_left(store: Store) -> None:
    molecule = water(forces=False)
    assert not propose_minimum(store, molecule, MODEL)
    assert store.selected("water", molecule.accurate) == []
    found, start, reason = compare_to_accurate(store, molecule, MODEL)
    assert isinstance(found, ModelMinimum)
    assert reason == ""
    # The harmonic frequencies of real water (Benedict, Gailar and Plyler 1956); GFN2 is some 5 to 10% too soft.
    np.testing.assert_allclose(found.frequencies, [1649, 3832, 3943], rtol=0.12)
    np.testing.assert_array_equal(start.positions, starting_structure(store, molecule).positions)


def test_a_minimum_that_was_not_reached_has_no_frequencies(tmp_path: Path, store: Store) -> None:
    found = store.read_json(f"models/water/{MODEL}/minimum.json")
    store.write_json("models/water/fedcba9876543210/minimum.json", found | {"converged": False, "hessian": None})
    comparison, _, reason = compare_to_accurate(store, water(forces=False), "fedcba9876543210")
    assert comparison is None
    assert "did not converge" in reason


def test_with_accurate_forces_the_model_s_minimum_is_to_be_labelled(store: Store) -> None:
    molecule = water(forces=True)
    assert propose_minimum(store, molecule, MODEL)
    assert len(store.pending("water", molecule.accurate)) == 1


def test_the_search_ends_where_its_next_geometry_is_labelled_already(store: Store) -> None:
    molecule, model = water(forces=True), "89abcdef01234567"
    found = store.read_json(f"models/water/{MODEL}/minimum.json")
    # Another geometry than that of the model above, so another frame.
    positions = 1.01 * np.array(found["positions"])
    store.write_json(f"models/water/{model}/minimum.json", found | {"positions": positions.tolist()})
    stretch = positions - positions[0]
    stretch[0] = -stretch.sum(axis=0)
    # Forces that grow along the step: the surface is curved downwards, and the model's Hessian is left as it is.
    for label, scale in enumerate((1.0, 1.5)):
        assert propose_minimum(store, molecule, model)
        *_, last = path = minimum_path(store, molecule, model)
        assert len(path) == label + 1
        made = {"frame_id": last.frame_id, "status": "ok", "energy": -2000.0, "forces": scale * stretch}
        store.add_attempts("water", molecule.accurate, [Attempt(**made, time=dt.datetime.now(dt.UTC))])
    assert not propose_minimum(store, molecule, model)
