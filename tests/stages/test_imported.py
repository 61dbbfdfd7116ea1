"""Imported labels are compared with computed ones whenever both are to stand at one level."""

import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from asteroid.configuration import Configuration, Frame, Origin, Split
from asteroid.errors import AsteroidError
from asteroid.labelling import campaign
from asteroid.labelling.campaign import label_configurations
from asteroid.levels import LevelOfTheory
from asteroid.manifest import MoleculeSettings
from asteroid.stages.imported import check_imported
from asteroid.store import Store
from asteroid.store.rows import Attempt

LEVEL = LevelOfTheory.parse("gfn2-xtb")
WATER = MoleculeSettings(name="water", smiles="O")
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def add(store: Store, seed: int, *, split: Split = "train") -> Frame:
    """A selected frame of water."""
    rest = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    noise = np.random.default_rng(seed).normal(scale=0.03, size=(3, 3))
    frame = Frame(Configuration([8, 1, 1], rest + noise), Origin("import"), str(seed), split)
    store.add_frames("water", [frame], batch=str(seed))
    store.select("water", LEVEL, [frame.frame_id], name=str(seed), criterion="test")
    return frame


def give(store: Store, frame: Frame, *, shift: float, program: str, day: int) -> Attempt:
    """A label of the frame at a day, its energy shifted (eV)."""
    (computed,) = label_configurations([frame.configuration], LEVEL)
    assert computed.energy is not None
    time = NOW + dt.timedelta(days=day)
    label = dataclasses.replace(computed, energy=computed.energy + shift, program=program, time=time)
    store.add_attempts("water", LEVEL, [label])
    return label


def test_another_zero_of_energy_does_no_harm_to_a_certificate_and_is_found_before_the_labels_are_mixed(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    give(store, add(store, 0), shift=100.0, program="import", day=0)
    check_imported(store, WATER, LEVEL)
    judging = add(store, 1, split="certificate")
    check_imported(store, WATER, LEVEL)
    give(store, judging, shift=0.0, program="tblite", day=1)
    add(store, 2)
    with pytest.raises(AsteroidError, match="are not what is computed here"):
        check_imported(store, WATER, LEVEL)


def test_other_forces_are_found_when_only_a_certificate_wants_labels(tmp_path: Path) -> None:
    store = Store(tmp_path)
    label = give(store, add(store, 0), shift=0.0, program="import", day=0)
    assert label.forces is not None
    wrong = dataclasses.replace(label, forces=2 * label.forces, time=NOW - dt.timedelta(days=1))
    store.add_attempts("water", LEVEL, [wrong])
    add(store, 1, split="certificate")
    with pytest.raises(AsteroidError, match="forces that differ by"):
        check_imported(store, WATER, LEVEL)


def test_what_was_checked_is_not_computed_again_and_a_later_import_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    give(store, add(store, 0), shift=0.0, program="import", day=0)
    add(store, 1)
    computed = []

    def counting(*args: object, **options: object) -> Iterator[Attempt]:
        computed.append(1)
        return label_configurations(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(campaign, "label_configurations", counting)
    check_imported(store, WATER, LEVEL)
    assert len(computed) == 1
    give(store, add(store, 2), shift=0.0, program="tblite", day=1)
    check_imported(store, WATER, LEVEL)
    assert len(computed) == 1
    give(store, add(store, 3), shift=100.0, program="import", day=2)
    with pytest.raises(AsteroidError, match="are not what is computed here"):
        check_imported(store, WATER, LEVEL)
