"""Frames, labels, models and certificates of two stores of one manifest, made with and without faults.

On one machine they are equal to the last bit: a label depends on its frame alone, and a training that was interrupted
goes on as if it had not been.
"""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from asteroid.store.models import read_model
from asteroid.store.records import Floats
from asteroid.store.rows import Attempt
from asteroid.validation.certificate import Certificate, read_certificates


@dataclass
class Comparison:
    """What two stores share and where they differ.

    Args:
        equal: number of things that are equal to the last bit, by kind; ``of`` is the number of all.
        different: a line for each thing that is not.
    """

    equal: dict[str, int] = field(default_factory=dict)
    of: dict[str, int] = field(default_factory=dict)
    different: list[str] = field(default_factory=list)

    def count(self, kind: str, same: bool, otherwise: str) -> None:
        """Count one thing."""
        self.of[kind] = self.of.get(kind, 0) + 1
        self.equal[kind] = self.equal.get(kind, 0) + same
        if not same:
            self.different.append(f"{kind}: {otherwise}")

    def __str__(self) -> str:
        counts = ", ".join(f"{self.equal[kind]} of {number} {kind}" for kind, number in self.of.items())
        return f"{counts} are equal to the last bit"


def compare(first: Store, second: Store) -> Comparison:
    """Compare all molecules of two stores."""
    found = Comparison()
    names = set(first.molecules()) | set(second.molecules())
    for name in sorted(names):
        for kind, one, two in _sets(first, second, name):
            for member in sorted(one | two):
                found.count(kind, member in one and member in two, f"{name}: {member} is in one store only")
        for level in first.levels(name):
            _compare_labels(found, first, second, name, level)
        _compare_certificates(found, name, _newest(first, name), _newest(second, name))
        for model in sorted(_models(first, name) & _models(second, name)):
            same = _weights(first, name, model) == _weights(second, name, model)
            found.count("weights", same, f"{name}: those of model {model}")
    return found


def _weights(store: Store, name: str, model: str) -> dict[str, bytes]:
    """The numbers in a model's file, which also has the paths of the packages that compiled parts of it."""
    with zipfile.ZipFile(io.BytesIO(read_model(store, name, model))) as file:
        found = {member: file.read(member) for member in file.namelist() if "/data/" in member}
    assert found
    return found


def _sets(first: Store, second: Store, name: str) -> Iterator[tuple[str, set[str], set[str]]]:
    one, two = ({frame.frame_id for frame in store.frames(name)} for store in (first, second))
    yield "frames", one, two
    levels = {*first.levels(name), *second.levels(name)}
    one, two = (
        {f"{frame} at {level}" for level in levels for frame in store.selected(name, level)}
        for store in (first, second)
    )
    yield "selected frames", one, two
    yield "models", _models(first, name), _models(second, name)


def _models(store: Store, name: str) -> set[str]:
    return set(store.names(f"models/{name}")) - {"index"}


def _newest(store: Store, name: str) -> Certificate:
    return max(read_certificates(store, name).values(), key=lambda one: one.created)


def _compare_labels(found: Comparison, first: Store, second: Store, name: str, level: LevelOfTheory) -> None:
    ours, theirs = first.labels(name, level), second.labels(name, level)
    for frame in sorted(ours.keys() & theirs.keys()):
        furthest = float(np.abs(_numbers(ours[frame]) - _numbers(theirs[frame])).max())
        found.count("labels", furthest == 0.0, f"{name}: {frame} at {level} differs by {furthest:.1g} eV or eV/Å")


def _numbers(label: Attempt) -> Floats:
    assert label.energy is not None
    assert label.forces is not None
    return np.append(label.forces.ravel(), label.energy)


def _compare_certificates(found: Comparison, name: str, ours: Certificate, theirs: Certificate) -> None:
    for one, two in zip_longest(ours.lines, theirs.lines):
        found.count("certificate lines", one == two, f"{name}: {one} against {two}")
