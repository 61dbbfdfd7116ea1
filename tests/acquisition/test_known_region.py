"""Bounds on force errors hold as often as they say, grow away from the training frames, and stop MD there."""

import datetime as dt
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import units
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin

import asteroid
from asteroid.acquisition.known_region import COVERAGE, KnownRegion, calibrated, held_out_frames
from asteroid.configuration import Configuration, Frame, Origin
from asteroid.errors import InputError, LeftKnownRegion
from asteroid.store import Store
from asteroid.store.models import Card
from asteroid.store.rows import Attempt
from tests.training.conftest import ACCURATE, CHEAP, Labels, fill, tiny_settings, train_model, water

__all__ = ["water"]

WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])


def test_all_bounds_of_a_frame_hold_with_the_coverage() -> None:
    rng, held = np.random.default_rng(0), []
    for _ in range(400):
        # Errors that the uncertainty predicts up to a factor.
        uncertainties = rng.lognormal(size=(41, 5))
        errors = uncertainties * rng.lognormal(sigma=0.5, size=(41, 5))
        region = calibrated({}, list(uncertainties[:40]), list(errors[:40]))
        held.append(bool((errors[40] <= region.scale * (uncertainties[40] + region.offset)).all()))
    # Between 0.95 and 0.95 + 1/41; three standard errors of 400 draws are 0.03.
    assert COVERAGE - 0.03 < np.mean(held) <= 1.0
    assert np.mean(held) < COVERAGE + 1 / 41 + 0.03


def make(folder: Path, water: Labels, *, test: int) -> tuple[Store, Card]:
    """A store with a model of 16 frames, and labels on ``test`` others."""
    store = Store(folder)
    ids = fill(store, replace(water, cheap=water.cheap[:16], accurate=water.accurate[:16]))
    others = water.accurate[16 : 16 + test]
    store.add_frames("water", [Frame(f.configuration, Origin("test"), "other", "test") for f in others], batch="other")
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    attempts = [Attempt(frame_id=f.frame_id, status="ok", energy=f.energy, forces=f.forces, time=now) for f in others]
    store.add_attempts("water", ACCURATE, attempts)
    card = train_model(
        store,
        "water",
        strategy="corrected",
        cheap=CHEAP,
        accurate=ACCURATE,
        train_ids=ids[:10],
        valid_ids=ids[10:14],
        cheap_ids=ids[14:],
        settings=tiny_settings(),
    )
    return store, card


@pytest.fixture(scope="module")
def made(water: Labels, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Card, Any]:
    """A store with a model and held-out frames, and the model's calculator."""
    store, card = make(tmp_path_factory.mktemp("store"), water, test=24)
    return store, card, asteroid.load_model(store.url, "water", model_id=card.model_id, device="cpu")


def bounds(calculator: Any, positions: Any, numbers: tuple[int, ...] = (8, 1, 1)) -> Any:
    return calculator.get_property("forces_uncertainty", Configuration(list(numbers), positions).to_atoms())


def test_a_model_loads_without_a_word(made: tuple[Store, Card, Any]) -> None:
    store, card, _ = made
    code = f"import asteroid; asteroid.load_model({store.url!r}, 'water', model_id={card.model_id!r}, device='cpu')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_held_out_frames_are_those_that_the_model_has_not_seen(made: tuple[Store, Card, Any], water: Labels) -> None:
    store, card, calculator = made
    frames, forces = held_out_frames(store, card)
    assert {c.frame_id for c in frames} == {f.frame_id for f in water.accurate[16:]}
    by_id = {f.frame_id: f.forces for f in water.accurate}
    assert all(np.array_equal(found, by_id[c.frame_id]) for c, found in zip(frames, forces, strict=True))
    region: KnownRegion = calculator.known_region
    assert region.guaranteed == COVERAGE
    errors = []
    for configuration, reference in zip(frames, forces, strict=True):
        atoms = configuration.to_atoms()
        errors.append(np.linalg.norm(calculator.get_forces(atoms) - reference, axis=1))
    within = [bool((e <= bounds(calculator, c.positions)).all()) for c, e in zip(frames, errors, strict=True)]
    # The calibration is on these very frames: at least the rounded-up part of them.
    assert np.mean(within) >= COVERAGE


def test_bounds_turn_with_nothing_and_follow_their_atoms(made: tuple[Store, Card, Any]) -> None:
    calculator = made[2]
    found = bounds(calculator, WATER)
    assert found.shape == (3,)
    rotation = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(bounds(calculator, WATER @ rotation + 5.0), found, rtol=1e-6)
    np.testing.assert_allclose(bounds(calculator, WATER[[1, 0, 2]], (1, 8, 1)), found[[1, 0, 2]], rtol=1e-6)


def test_bounds_exceed_the_limit_away_from_the_training_frames(made: tuple[Store, Card, Any]) -> None:
    calculator = made[2]
    stretched = WATER * [[1.0], [1.6], [1.0]]
    assert bounds(calculator, WATER).max() < calculator.known_region.limit < bounds(calculator, stretched).max()
    # Asking for it leaves energy and forces as they are, and forces do not cost it.
    atoms = Configuration([8, 1, 1], WATER).to_atoms()
    forces = calculator.get_forces(atoms)
    assert "forces_uncertainty" not in calculator.results
    calculator.get_property("forces_uncertainty", atoms)
    np.testing.assert_array_equal(calculator.get_forces(atoms), forces)


def dynamics(calculator: Any, temperature: float) -> Langevin:
    atoms = Configuration([8, 1, 1], WATER).to_atoms()
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    return Langevin(atoms, 0.5 * units.fs, temperature_K=temperature, friction=0.05 / units.fs, fixcm=False, rng=rng)


def test_md_stops_where_the_model_leaves_what_it_knows(made: tuple[Store, Card, Any]) -> None:
    calculator = made[2]
    cold = dynamics(calculator, 50)
    asteroid.watch(cold, every=5)
    cold.run(100)
    hot = dynamics(calculator, 20_000)
    asteroid.watch(hot, every=5, looks=2)
    with pytest.raises(
        LeftKnownRegion, match=r"^left what it knows at 0\.\d+ ps: the bound on the force error"
    ) as error:
        hot.run(400)
    assert error.value.bound > error.value.limit == calculator.known_region.limit
    assert error.value.time == pytest.approx(hot.get_number_of_steps() * 0.5e-3)
    assert hot.get_number_of_steps() % 5 == 0
    # A single look may be above.
    patient = dynamics(calculator, 20_000)
    asteroid.watch(patient, every=5, looks=100)
    patient.run(50)


def test_what_has_no_bounds_is_one_line(made: tuple[Store, Card, Any], water: Labels, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the calculator has no forces_uncertainty"):
        asteroid.watch(dynamics(EMT(), 300))
    store, card = make(tmp_path / "store", water, test=4)
    calculator = asteroid.load_model(store.url, "water", model_id=card.model_id)
    with pytest.raises(InputError, match="4 frames with accurate forces were not used in training"):
        asteroid.watch(dynamics(calculator, 300))
