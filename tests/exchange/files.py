"""Labelled files to import: formaldehyde held together by springs, whose energies and forces agree by construction."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from asteroid.errors import InputError
from asteroid.exchange import ImportSettings, import_files
from asteroid.exchange.plan import Imported
from asteroid.levels import LevelOfTheory
from asteroid.store import Store

Arrays = dict[str, npt.NDArray[Any]]

NUMBERS = np.array([6, 8, 1, 1])
EQUILIBRIUM = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.21], [0.94, 0.0, -0.59], [-0.94, 0.0, -0.59]])
CHEAP = LevelOfTheory.parse("mp2/cc-pvdz")
FOREIGN = LevelOfTheory.parse("ccsd(t)-f12/cc-pvdz-f12", imported=True)


def springs(count: int, *, seed: int = 0, stiffness: float = 20.0) -> Arrays:
    """``count`` random geometries with the energy and forces of springs between all atoms, as npz files have them."""
    positions = EQUILIBRIUM + np.random.default_rng(seed).normal(scale=0.06, size=(count, 4, 3))
    i, j = np.triu_indices(4, k=1)
    rest = np.linalg.norm(EQUILIBRIUM[i] - EQUILIBRIUM[j], axis=1)
    vectors = positions[:, i] - positions[:, j]
    lengths = np.linalg.norm(vectors, axis=2)
    energies = -3000 + 0.5 * stiffness * ((lengths - rest) ** 2).sum(axis=1)
    pulls = -stiffness * ((lengths - rest) / lengths)[..., None] * vectors
    forces = np.zeros_like(positions)
    for pair, (a, b) in enumerate(zip(i, j, strict=True)):
        forces[:, a] += pulls[:, pair]
        forces[:, b] -= pulls[:, pair]
    return {"Z": NUMBERS, "R": positions, "E": energies, "F": forces}


def write_npz(path: Path, arrays: Arrays, **changes: Any) -> Path:
    np.savez(path, **{key: value for key, value in (arrays | changes).items() if value is not None})
    return path


def load(store: Store, *paths: Path, level: LevelOfTheory = CHEAP, **settings: Any) -> list[Imported]:
    return import_files(store, paths, ImportSettings(molecule="m", level=level, **settings))


def problems(store: Store, *paths: Path, level: LevelOfTheory = CHEAP, **settings: Any) -> tuple[str, ...]:
    """What an import is refused with; it must leave nothing behind."""
    before = contents(store)
    with pytest.raises(InputError) as error:
        load(store, *paths, level=level, **settings)
    assert contents(store) == before
    assert all("\n" not in problem for problem in error.value.problems)
    return error.value.problems


def contents(store: Store) -> set[str]:
    folder = store.local
    assert folder is not None
    return {str(path) for path in folder.rglob("*") if path.is_file()}
