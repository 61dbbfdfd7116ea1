"""Write the folder of an exported model, which appears whole."""

import io
import json
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from asteroid.errors import InputError, MissingDependencyError, suggest
from asteroid.model_export.card import ForceBounds, describe
from asteroid.model_export.programs import PROGRAMS
from asteroid.model_export.readme import write_readme
from asteroid.store import Store, records
from asteroid.store.models import Card, read_card, read_model
from asteroid.validation.certificate import find_model

if TYPE_CHECKING:
    from ase import Atoms

FRAMES: Final = 5
"""Geometries with energies and forces in an export, from the lowest to the highest energy of the labelled ones."""


def export_model(
    store: Store, molecule: str, *, format: str, out: Path, model_id: str | None = None, license: str = "unknown"
) -> list[Path]:
    """Write a finished model for another program into a new folder; returns the files.

    Args:
        molecule: with a certificate of the model; or the name of a model, together with ``model_id``.
        format: one of :data:`~asteroid.model_export.PROGRAMS`.
        out: folder, which must not exist.
        model_id: by default that of the newest certificate.
        license: of the model, such as ``"mit"``, for its cards.

    Raises:
        InputError: for an unknown model or format, a model that needs a cheap method at run time, or a folder that
            cannot be written.
        StoreError: if the model was changed.
        MissingDependencyError: without torch or ASE.
    """
    if format not in PROGRAMS:
        raise InputError(f"--format: found '{format}'; {suggest(format, PROGRAMS)}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", license):
        raise InputError(f"--license: found '{license}'; write an identifier such as mit or cc-by-4.0")
    name, model_id = find_model(store, molecule, model_id)
    card, weights = read_card(store, name, model_id), read_model(store, name, model_id)
    if card.adds_to is not None:
        raise InputError(
            f"model {model_id} must be added to {card.adds_to}, which {PROGRAMS[format].title} does not compute; use "
            "it with asteroid.load_model, or train with strategy: corrected"
        )
    calculator = _calculator(store, card)
    frames = _geometries(store, card, molecule, calculator)
    program, bounds = PROGRAMS[format], _force_bounds(calculator)
    described = describe(store, card, format=format, license=license.lower(), force_bounds=bounds)
    content = {
        "model.model": weights,
        "molecule.xyz": _extxyz(frames),
        "card.json": (json.dumps(records.to_json(described, nulls=True), indent=2, ensure_ascii=False) + "\n").encode(),
        **program.written(frames[0]),
    }
    if format == "metatomic":
        content["model.pt"] = _metatomic(calculator, card)
    content["README.md"] = write_readme(described, program, sorted(content)).encode()
    _write_folder(out, content)
    return [out / file for file in sorted(content)]


def _calculator(store: Store, card: Card) -> Any:
    try:
        from asteroid.acquisition.known_region import known_region
        from asteroid.training.run import load_calculator
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train") from None
    return load_calculator(store, card.molecule, card.model_id, device="cpu", region=known_region)


def _metatomic(calculator: Any, card: Card) -> bytes:
    try:
        from asteroid.model_export.metatomic import to_metatomic
    except ModuleNotFoundError:
        raise InputError("--format metatomic: metatomic is not installed; run: pip install metatomic-torch") from None
    return to_metatomic(calculator.models[0], name=card.model_id, description=f"{card.molecule} at {card.accurate}")


def _force_bounds(calculator: Any) -> ForceBounds | None:
    """None with too few held-out frames."""
    try:
        region = calculator.known_region
    except InputError:
        return None
    typical = float(np.median(region.largest))
    return ForceBounds(coverage=region.guaranteed, frames=len(region.largest), typical=typical, limit=region.limit)


def _geometries(store: Store, card: Card, molecule: str, calculator: Any) -> "list[Atoms]":
    """Labelled geometries of a molecule with the model's energies (eV) and forces (eV/Å), the lowest energy first."""
    from ase.calculators.singlepoint import SinglePointCalculator

    from asteroid.levels import LevelOfTheory

    name = molecule if molecule in store.molecules() else card.molecules[0]
    labels = store.labels(name, LevelOfTheory.parse(card.accurate, imported=True))
    energies = {frame_id: label.energy for frame_id, label in labels.items() if label.energy is not None}
    ordered = sorted(energies, key=lambda frame_id: energies[frame_id])
    wanted = [ordered[i * (len(ordered) - 1) // (FRAMES - 1)] for i in range(FRAMES)] if ordered else []
    found = {frame.frame_id: frame for frame in store.frames(name, ids=wanted)}
    chosen = [found[i] for i in dict.fromkeys(wanted)] or store.frames(name)[:1]
    frames = []
    for frame in chosen:
        atoms: Atoms = frame.configuration.to_atoms()
        # As exact as they are written.
        atoms.positions = atoms.positions.round(8)
        energy, forces = calculator.get_potential_energy(atoms), calculator.get_forces(atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames


def _extxyz(frames: "list[Atoms]") -> bytes:
    import ase.io

    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz")
    return text.getvalue().encode()


def _write_folder(out: Path, content: dict[str, bytes]) -> None:
    if out.exists():
        raise InputError(f"--out: '{out}' exists; write a new folder")
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir(parents=True)
        for name, data in content.items():
            (temporary / name).write_bytes(data)
        temporary.rename(out)
    except OSError as error:
        raise InputError(f"--out: cannot write '{out}' ({os.strerror(error.errno or 0)})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
