"""Read and check one entry of ``molecules``, with defaults, and charge and multiplicity from its structure.

Charges and multiplicities that a level does not support are refused later (``asteroid.engines.check_supported``).
"""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asteroid.chemistry.geometry_files import read_structures
from asteroid.chemistry.structures import Composition, read_smiles
from asteroid.composite import is_extrapolated, is_sum
from asteroid.configuration import Split, check_multiplicity, check_name
from asteroid.engines import check_elements, resolve
from asteroid.errors import InputError, MissingDependencyError
from asteroid.groups import planned_frames
from asteroid.levels import LevelOfTheory
from asteroid.manifest.entries import merge
from asteroid.manifest.schema import MoleculeEntry, MoleculeSettings
from asteroid.problems import validate
from asteroid.settings import BudgetSettings, SamplingSettings
from asteroid.strategies import check_ladder, check_strategy

logger = logging.getLogger(__name__)

LEAST_FOR_PILOT = 30
"""Smallest number of accurate labels in the budget for a pilot that nobody has asked for: it takes 15 of them."""


def read_molecule(raw: object, defaults: dict[str, Any], folder: Path) -> tuple[MoleculeSettings | None, list[str]]:
    """One entry of ``molecules``, merged with the defaults, or its problems."""
    if not isinstance(raw, dict):
        found = "nothing" if raw is None else f"{str(raw)[:40]!r}"
        return None, [f"found {found}; write keys and values, for example name: and smiles:"]
    problems = validate(MoleculeEntry, raw)[1] + check_levels(raw, folder)
    if problems:
        return None, problems
    entry, problems = validate(MoleculeEntry, merge(defaults, raw))
    if entry is None:
        return None, problems
    try:
        check_name(entry.name)
    except InputError as error:
        problems.append(str(error))
    cheap, accurate = (resolve(LevelOfTheory.parse(text), folder) for text in (entry.cheap, entry.accurate))
    if cheap.parts:
        problems.append(f"cheap: found '{cheap}', a composite level; write one level, such as {cheap.parts[0].level}")
    if cheap == accurate:
        problems.append(f"accurate: found '{accurate}', which is the cheap level too; write a more accurate one")
    problems += _check_budget(entry.sampling, entry.budget)
    training = entry.training
    try:
        ladder = tuple(_spelled(text, folder) for text in training.ladder)
        training = training.model_copy(update={"ladder": ladder})
    except InputError as error:
        problems.append(f"training.ladder: found {error}")
    problems += check_strategy(training, entry.sampling, cheap_forces=entry.labelling.cheap.forces)
    problems += check_ladder(training, (cheap, accurate))
    entry = _with_usual_chain(entry, accurate)
    problems += _check_acquisition(entry) + _check_chain(entry)
    if training.foundation is not None:
        foundation = (folder / training.foundation).resolve()
        training = training.model_copy(update={"foundation": str(foundation)})
        if not foundation.is_file():
            problems.append(f"training.foundation: found '{foundation}', where there is no file; write a model's path")

    geometry = None if entry.geometry is None else (folder / entry.geometry).resolve()
    try:
        numbers, charge, multiplicity = _composition(entry, geometry)
    except InputError as error:
        return None, problems + list(error.problems)
    for key, level in (("cheap", cheap), ("accurate", accurate)):
        try:
            check_elements(level, numbers)
        except InputError as error:
            problems.append(f"{key}: found {error}")
        except MissingDependencyError as error:
            # A machine that only trains may lack the programs; the one that labels checks again.
            logger.warning("%s: the basis set of %s is not checked here: %s", entry.name, level, error)
    if problems:
        return None, problems
    return (
        MoleculeSettings(
            name=entry.name,
            smiles=entry.smiles,
            geometry=geometry,
            charge=charge,
            multiplicity=multiplicity,
            cheap=cheap,
            accurate=accurate,
            engine=entry.engine,
            sampling=entry.sampling,
            labelling=entry.labelling,
            budget=entry.budget,
            training=training,
            validation=entry.validation,
            chain=entry.chain,
            acquisition=entry.acquisition,
        ),
        [],
    )


def _spelled(text: str, folder: Path) -> str:
    """A level of the ladder in its one spelling where it has many: one of an engine's own, or a composite one."""
    if ":" in text:
        return str(resolve(LevelOfTheory.parse(text), folder))
    if is_sum(text.strip()) or is_extrapolated(text.lower()):
        # What is wrong with one, check_ladder says.
        with contextlib.suppress(InputError):
            return str(LevelOfTheory.parse(text, imported=True))
    return text


def _composition(entry: MoleculeEntry, geometry: Path | None) -> tuple[tuple[int, ...], int, int]:
    """Atomic numbers, charge and multiplicity, as written or from the structure."""
    if entry.smiles is not None and geometry is not None:
        raise InputError("smiles and geometry: found both; write one of them")
    if entry.smiles is not None:
        try:
            composition = read_smiles(entry.smiles)
        except InputError as error:
            raise InputError(f"smiles: {error}") from None
        return composition.numbers, *_spin(entry, composition)
    if geometry is None:
        raise InputError("smiles: found neither smiles nor geometry; write one of them")
    # Only written values can contradict the file.
    given = entry.model_dump(include={"charge", "multiplicity"}, exclude_unset=True)
    try:
        start = read_structures(geometry, **given)[0]
    except InputError as error:
        raise InputError(f"geometry: {error}") from None
    return tuple(int(z) for z in start.numbers), start.charge, start.multiplicity


def _spin(entry: MoleculeEntry, composition: Composition) -> tuple[int, int]:
    """Charge and multiplicity, as written or from the SMILES."""
    charge = composition.charge
    if "charge" in entry.model_fields_set and entry.charge != charge:
        raise InputError(f"charge: found {entry.charge}, but the SMILES has {charge}; write one that agrees")
    given = "multiplicity" in entry.model_fields_set
    multiplicity = entry.multiplicity if given else composition.multiplicity
    try:
        check_multiplicity(sum(composition.numbers) - charge, multiplicity)
    except ValueError as error:
        raise InputError(f"{'multiplicity' if given else 'charge'}: {error}") from None
    return charge, multiplicity


def _check_budget(sampling: SamplingSettings, budget: BudgetSettings) -> list[str]:
    """Accurate labels are bought for sampled frames: each split must plan enough of them."""
    available = planned_frames(sampling)
    wanted: dict[Split, int] = {"train": budget.train, "valid": budget.valid, "test": budget.test}
    problems = []
    for split, count in wanted.items():
        have = available.get(split, 0)
        if count > have:
            key = "test" if split == "test" else "accurate"
            problems.append(
                f"budget.{key}: found {getattr(budget, key)}, which takes {count} {split} frames where "
                f"sampling.frames: {sampling.frames} gives {have}; write a smaller budget or more frames"
            )
    return problems


def _check_acquisition(entry: MoleculeEntry) -> list[str]:
    """Problems of the settings of rounds."""
    rounds, budget = entry.acquisition, entry.budget
    if rounds is None:
        return []
    problems = []
    if rounds.initial > budget.accurate:
        problems.append(
            f"acquisition.initial: found {rounds.initial}, more than budget.accurate: {budget.accurate}; "
            f"write {budget.accurate} or less"
        )
    elif not budget.model_copy(update={"accurate": rounds.initial}).valid:
        problems.append(
            f"acquisition.initial: found {rounds.initial}, of which budget.valid_fraction: {budget.valid_fraction:g} "
            "holds out none; write more"
        )
    if not entry.labelling.accurate.forces:
        problems.append(
            "acquisition: found with labelling.accurate.forces: false, but rounds are judged by their force errors; "
            "write forces: true, or acquisition: null"
        )
    if rounds.criterion == "bias" and not entry.labelling.cheap.forces:
        problems.append(
            "acquisition.criterion: found bias with labelling.cheap.forces: false, but the bias is that of the forces; "
            "write forces: true, or another criterion"
        )
    return problems


def _with_usual_chain(entry: MoleculeEntry, accurate: LevelOfTheory) -> MoleculeEntry:
    """With ``chain: auto`` if the manifest names no level below the accurate one, and its budget pays for a pilot."""
    named = {"cheap", "chain"} & entry.model_fields_set or "ladder" in entry.training.model_fields_set
    computed = accurate.parts or accurate.family not in ("imported", "engine")
    pays = entry.budget.accurate >= LEAST_FOR_PILOT or entry.budget.core_hours is not None
    if named or not (computed and pays) or _check_chain(usual := entry.model_copy(update={"chain": "auto"})):
        return entry
    return usual


def _check_chain(entry: MoleculeEntry) -> list[str]:
    """Problems of the levels in between: of ``chain: auto``, and of their numbers of labels."""
    problems, between = [], entry.training.ladder
    if not isinstance(entry.budget.ladder, int) and len(entry.budget.ladder) != len(between):
        problems.append(
            f"budget.ladder: found {len(entry.budget.ladder)} numbers for {len(between)} levels of training.ladder; "
            "write one for each, or one number for all"
        )
    if entry.chain is None:
        return problems
    if between:
        problems.append("chain: found auto with training.ladder, whose levels it would choose; write one of them")
    if entry.training.strategy != "corrected":
        problems.append(
            f"chain: found auto with training.strategy: {entry.training.strategy}, which corrects nothing; write "
            "corrected, or chain: null"
        )
    if not (entry.labelling.accurate.forces and entry.labelling.cheap.forces):
        problems.append("chain: found auto with labels that have no forces, by which levels are compared; write forces")
    return problems


def check_levels(raw: Mapping[str, Any], folder: Path) -> list[str]:
    """Problems of the levels ``cheap`` and ``accurate``."""
    problems = []
    for key in ("cheap", "accurate"):
        if isinstance(raw.get(key), str):
            try:
                resolve(LevelOfTheory.parse(raw[key]), folder)
            except InputError as error:
                problems.append(f"{key}: found {error}")
    return problems
