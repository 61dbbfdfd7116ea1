"""Water, labelled by GFN1 (cheap) and GFN2 (accurate), and settings small enough to train in seconds."""

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.data.training_set import TrainingSet
from asteroid.levels import LevelOfTheory
from asteroid.manifest import ModelSettings, TrainingSettings
from asteroid.store import Store
from asteroid.store.models import Card
from asteroid.store.rows import Attempt
from asteroid.training import run
from asteroid.training.dataset import LabelledFrame

CHEAP = LevelOfTheory.parse("gfn1-xtb")
ACCURATE = LevelOfTheory.parse("gfn2-xtb")


@dataclass(frozen=True)
class Labels:
    """The same configurations at both levels."""

    cheap: list[LabelledFrame]
    accurate: list[LabelledFrame]


def run_tblite(numbers: list[int], positions: npt.NDArray[np.float64]) -> dict[str, dict[str, Any]]:
    """What :mod:`tests.training.label_with_tblite` writes, of GFN1-xTB and GFN2-xTB."""
    request = {"numbers": numbers, "positions": positions.tolist(), "methods": ["GFN1-xTB", "GFN2-xTB"]}
    script = Path(__file__).with_name("label_with_tblite.py")
    answer = subprocess.run(
        [sys.executable, str(script)],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, dict[str, Any]] = json.loads(answer.stdout)
    return found


def label(numbers: list[int], positions: npt.NDArray[np.float64]) -> Labels:
    """Geometries (n, N, 3) of one molecule at both levels."""
    labels = run_tblite(numbers, positions)
    configurations = [Configuration(numbers, p) for p in positions]

    def frames(method: str) -> list[LabelledFrame]:
        found = labels[method]
        rows = zip(configurations, found["energy"], found["forces"], strict=True)
        return [LabelledFrame(c, e, np.array(f)) for c, e, f in rows]

    return Labels(frames("GFN1-xTB"), frames("GFN2-xTB"))


@pytest.fixture(scope="session")
def water() -> Labels:
    """40 distorted waters: displacements of 0.08 Å around a bent geometry."""
    bent = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    return label([8, 1, 1], bent + np.random.default_rng(7).normal(scale=0.08, size=(40, 3, 3)))


def tiny_settings(**changes: Any) -> TrainingSettings:
    """Settings that train in seconds."""
    values: dict[str, Any] = {
        "model": ModelSettings(channels=4, max_l=0, max_ell=1, correlation=2, radial=4, r_max=3.0),
        "pretrain_steps": 20,
        "finetune_steps": 20,
        "correction_steps": 20,
        "evaluate_every": 10,
        "batch_size": 8,
        "finetune_batch_size": 4,
        "gamma": 0.1,
        "precision": "float64",
        "device": "cpu",
        **changes,
    }
    return TrainingSettings(**values)


def fill(store: Store, labels: Labels, molecule: str = "water", *, cheap: LevelOfTheory = CHEAP) -> list[str]:
    """Put frames and labels into a store; returns the frame ids."""
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    frames = [Frame(f.configuration, Origin("test", temperature=300.0), "group", "train") for f in labels.accurate]
    store.add_frames(molecule, frames, batch="test")
    for level, labelled in ((cheap, labels.cheap), (ACCURATE, labels.accurate)):
        attempts = [
            Attempt(frame_id=f.frame_id, status="ok", energy=f.energy, forces=f.forces, time=now) for f in labelled
        ]
        store.add_attempts(molecule, level, attempts)
    return [f.frame_id for f in frames]


def train_model(
    store: Store,
    molecule: str,
    *,
    cheap: LevelOfTheory,
    accurate: LevelOfTheory,
    train_ids: Iterable[str],
    valid_ids: Iterable[str],
    cheap_ids: Iterable[str],
    settings: TrainingSettings,
    **options: Any,
) -> Card:
    """A model of one molecule."""
    levels = tuple(LevelOfTheory.parse(level, imported=True) for level in settings.ladder)
    data = TrainingSet.of_molecule(
        molecule,
        cheap=cheap,
        accurate=accurate,
        train=train_ids,
        valid=valid_ids,
        cheap_frames=cheap_ids,
        between=levels,
    )
    return run.train_model(store, molecule, data, settings=settings, **options)
