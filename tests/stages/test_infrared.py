"""The dipole model of a finished model, from labels in a store. GFN1 is the cheap level, GFN2 the accurate one."""

import datetime as dt

import numpy as np
import pytest
import torch

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.levels import LevelOfTheory
from asteroid.manifest import BudgetSettings, ModelSettings, MoleculeSettings
from asteroid.stages.infrared import fit_dipole_model
from asteroid.store import Store, paths
from asteroid.store.rows import Attempt
from asteroid.training.dipoles import predict_dipoles
from asteroid.training.model import build_model
from asteroid.training.run import read_dipole_model
from tests.training.conftest import run_tblite

CHEAP, ACCURATE = LevelOfTheory.parse("gfn1-xtb"), LevelOfTheory.parse("gfn2-xtb")
WATER = MoleculeSettings(
    name="water", smiles="O", cheap=CHEAP, accurate=ACCURATE, budget=BudgetSettings(accurate=10, test=5)
)
LABELS = 15
"""Frames with an accurate label, five of them for testing."""


def fill(store: Store, *, with_dipoles: bool) -> list[Configuration]:
    """30 distorted waters with labels, whose dipoles may be left out; returns those of the test frames."""
    bent = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    positions = bent + np.random.default_rng(7).normal(scale=0.08, size=(30, 3, 3))
    found = run_tblite([8, 1, 1], positions)
    splits = ["test"] * 5 + ["train"] * 25
    frames = [
        Frame(Configuration([8, 1, 1], one), Origin("normal-modes"), f"group-{split}", split)  # type: ignore[arg-type]
        for one, split in zip(positions, splits, strict=True)
    ]
    store.add_frames("water", frames, batch="all")
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    for level, method, count in ((CHEAP, "GFN1-xTB", 30), (ACCURATE, "GFN2-xTB", LABELS)):
        rows = zip(frames, *(found[method][key] for key in ("energy", "forces", "dipole")), strict=True)
        attempts = [
            Attempt(
                frame_id=frame.frame_id,
                status="ok",
                energy=energy,
                forces=np.array(forces),
                dipole=np.array(dipole) if with_dipoles else None,
                time=now,
            )
            for frame, energy, forces, dipole in rows
        ][:count]
        store.select("water", level, [a.frame_id for a in attempts], name="all", criterion="all")
        store.add_attempts("water", level, attempts)
    return [frame.configuration for frame in frames[:5]]


@pytest.fixture(scope="module")
def module() -> torch.nn.Module:
    size = ModelSettings(channels=4, max_l=1, max_ell=1, correlation=2, interactions=1)
    return build_model([1, 8], size, scale=1.0, avg_num_neighbors=2.0, seed=0, dtype=torch.float64)


def test_the_dipole_model_is_fitted_once_without_the_test_frames(tmp_path, module: torch.nn.Module) -> None:
    store = Store(tmp_path)
    test = fill(store, with_dipoles=True)
    found = fit_dipole_model(store, WATER, "a", module)
    assert found is not None
    assert (found.labels, found.level, found.model_id) == (8, "gfn2-xtb", "a")
    assert found.cheap_labels in (0, 25)
    written = (tmp_path / paths.dipole_model("water", "a")).read_bytes()
    again = fit_dipole_model(store, WATER, "a", module)
    assert again is not None
    assert (tmp_path / paths.dipole_model("water", "a")).read_bytes() == written
    ours, theirs = (predict_dipoles(module, one, test) for one in (found, again))
    np.testing.assert_array_equal(ours, theirs)
    # The accurate dipoles of the test frames, which no fit has seen; a component is 0.25 e·Å on average.
    labels = store.labels("water", ACCURATE)
    assert np.abs(ours - [labels[c.frame_id].dipole for c in test]).mean() < 0.02


def test_labels_without_dipoles_make_no_dipole_model(tmp_path, module: torch.nn.Module) -> None:
    store = Store(tmp_path)
    fill(store, with_dipoles=False)
    assert fit_dipole_model(store, WATER, "a", module) is None
    assert read_dipole_model(store, "water", "a") is None
