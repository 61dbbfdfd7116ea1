"""The card that travels with an exported model: what it was made from, its certificates, and its limits.

Written as ``card.json``; :mod:`asteroid.model_export.readme` says the same in words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from asteroid.configuration import hill_formula
from asteroid.manifest import TrainingSettings
from asteroid.store import Store
from asteroid.store.models import Card
from asteroid.validation.certificate import Certificate, read_certificates
from asteroid.validation.line import ON_POLICY, Line, State

FORCE_ERRORS = ("Force MAE", ON_POLICY)
"""Lines of a certificate with mean absolute errors of forces."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A molecule that the model was trained on.

    Args:
        charge: e.
        temperatures: K, of the MD that gave its frames; empty without any.
    """

    name: str
    formula: str
    charge: int
    multiplicity: int
    temperatures: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Certified:
    """The newest certificate of the model for one molecule.

    Args:
        temperatures: K, of the model's own MD that was checked.
        force_bound: eV/Å, the worst confidence bound of its mean absolute force errors; None where unknown.
        lines: all requirements.
    """

    molecule: str
    created: str
    state: State
    temperatures: tuple[float, ...]
    force_bound: float | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class ForceBounds:
    """Bounds on the force errors of atoms, see :mod:`asteroid.acquisition.known_region`.

    Args:
        coverage: part of frames like the held-out ones in which no atom's error exceeds its bound.
        frames: held-out ones, which calibrated the bounds.
        typical: eV/Å, median over these of the largest bound in a frame.
        limit: eV/Å; a geometry with a larger bound is unlike them.
    """

    coverage: float
    frames: int
    typical: float
    limit: float


@dataclass(frozen=True, kw_only=True)
class ExportedCard:
    """What is known about an exported model.

    Args:
        format: program that it was exported for.
        license: of the model, as its exporter gave it.
        units: of positions, energies and forces.
        elements: symbols.
        molecules: that trained it.
        certificates: newest of each molecule; empty for a model that was never certified.
        force_bounds: None with too few held-out frames.
        foundation: name of the file of the foundation model that it started from; None without one.
        model: the store's card.
    """

    format: str
    license: str
    units: dict[str, str]
    elements: tuple[str, ...]
    molecules: tuple[Known, ...]
    certificates: tuple[Certified, ...]
    force_bounds: ForceBounds | None
    foundation: str | None
    model: Card


def describe(store: Store, card: Card, *, format: str, license: str, force_bounds: ForceBounds | None) -> ExportedCard:
    """Gather what the store knows about a model."""
    molecules = tuple(_known(store, name) for name in card.molecules)
    foundation = TrainingSettings.model_validate(card.settings).foundation
    return ExportedCard(
        format=format,
        license=license,
        units={"length": "Å", "energy": "eV", "forces": "eV/Å"},
        elements=tuple(sorted({symbol for one in molecules for symbol in re.findall("[A-Z][a-z]?", one.formula)})),
        molecules=molecules,
        certificates=tuple(_certified(one) for one in _newest(store, card)),
        force_bounds=force_bounds,
        # Without the folders of the machine that trained it.
        foundation=None if foundation is None else str(foundation).replace("\\", "/").rsplit("/")[-1],
        model=card,
    )


def _known(store: Store, molecule: str) -> Known:
    frames = store.frames(molecule)
    first = frames[0].configuration
    temperatures = sorted({frame.origin.temperature for frame in frames if frame.origin.temperature is not None})
    return Known(
        name=molecule,
        formula=hill_formula(first.numbers),
        charge=first.charge,
        multiplicity=first.multiplicity,
        temperatures=tuple(temperatures),
    )


def _newest(store: Store, card: Card) -> list[Certificate]:
    """The newest certificate of the model for each molecule, also for those that did not train it."""
    found = []
    for molecule in store.molecules():
        own = [one for one in read_certificates(store, molecule).values() if one.model_id == card.model_id]
        if own:
            found.append(max(own, key=lambda one: one.created))
    return found


def _certified(certificate: Certificate) -> Certified:
    return Certified(
        molecule=certificate.molecule,
        created=certificate.created,
        state=certificate.state,
        temperatures=tuple(sorted({at.temperature for at in certificate.dynamics.survival})),
        force_bound=_worst(certificate.lines),
        lines=certificate.lines,
    )


def _worst(lines: Sequence[Line]) -> float | None:
    """The largest upper bound of the force errors; None if one was not measured."""
    bounds = [line.bound for line in lines if line.name in FORCE_ERRORS and line.checked]
    return None if not bounds or None in bounds else max(bound for bound in bounds if bound is not None)
