"""Warnings about a valid manifest: unusual settings, doubtful geometries, and levels or costs that look like a mistake.

:func:`asteroid.stages.load_checked` refuses definite errors. Nothing is computed here: costs are the estimates of
:mod:`asteroid.engines.rough_cost`, correct within an order of magnitude.
"""

import importlib.util
import math
from typing import Final

import numpy as np

from asteroid.chemistry.bonds import bonded
from asteroid.chemistry.geometry_checks import reasons_to_doubt
from asteroid.chemistry.geometry_files import read_structures
from asteroid.chemistry.structures import read_smiles
from asteroid.configuration import Configuration
from asteroid.engines.rough_cost import RoughCost, rough_cost
from asteroid.errors import LabelFailed
from asteroid.levels import LevelOfTheory
from asteroid.manifest import Manifest, MoleculeSettings
from asteroid.problems import unusual
from asteroid.processes import machine_memory
from asteroid.settings import ValidationSettings
from asteroid.validation.certificate import LEAST_PS
from asteroid.validation.intervals import ERROR

MANY_CORE_HOURS: Final = 100.0
"""Core-hours for the labels of one molecule at one level above which there is a warning: two days on two cores."""

EXCHANGED: Final = 3.0
"""Cost ratio of cheap to accurate labels above which the levels are probably exchanged; rough costs are correct to such
a factor.
"""


def likely_mistakes(manifest: Manifest) -> list[str]:
    """Warnings, one line each: file, key, what was found, what to write.

    Args:
        manifest: accepted by :func:`asteroid.stages.load_checked`.
    """
    return [
        f"{manifest.path}: molecules[{index}] ({molecule.name}): {found}"
        for index, molecule in enumerate(manifest.molecules)
        for found in _of_molecule(molecule)
    ]


def _of_molecule(molecule: MoleculeSettings) -> list[str]:
    blocks = ("sampling", "labelling", "budget", "training", "validation", "acquisition")
    found = [
        f"{name}.{line}" for name in blocks if (block := getattr(molecule, name)) is not None for line in unusual(block)
    ]
    found += _too_little_evidence(molecule.validation)
    structures = structures_of(molecule)
    if molecule.geometry is not None:
        found += [f"geometry: {reason}" for reason in _doubtful_geometry(structures)]
    if importlib.util.find_spec("pyscf") is not None:
        found += _doubtful_costs(molecule, structures[0])
    return found


def _too_little_evidence(validation: ValidationSettings) -> list[str]:
    """Settings with which even a perfect model cannot pass its certificate."""
    found = [
        f"validation.{ensemble}_ps: found {length:g} ps, less than any certificate needs; write {least:g} ps or more"
        for ensemble, least in LEAST_PS.items()
        if (length := getattr(validation, f"{ensemble}_ps")) < least
    ]
    stable = validation.thresholds.nvt_stable
    # As trials_needed() without a failure, which would take a second to import SciPy's distributions.
    needed = math.ceil(math.log(ERROR) / math.log(stable))
    if validation.replicas < needed:
        found.append(
            f"validation.replicas: found {validation.replicas}; that {stable:g} of trajectories survive "
            f"(thresholds.nvt_stable) is shown by {needed} without a failure; write {needed} or more"
        )
    return found


def structures_of(molecule: MoleculeSettings) -> list[Configuration]:
    """Structures of the geometry file, or one of a SMILES whose positions are all zero."""
    if molecule.geometry is not None:
        return read_structures(molecule.geometry, charge=molecule.charge, multiplicity=molecule.multiplicity)
    assert molecule.smiles is not None, "a molecule has one or the other"
    numbers = np.array(read_smiles(molecule.smiles).numbers)
    # The cost of a label does not depend on the positions.
    return [Configuration(numbers, np.zeros((len(numbers), 3)), molecule.charge, molecule.multiplicity)]


def _doubtful_geometry(structures: list[Configuration]) -> list[str]:
    several = len(structures) > 1
    for index, structure in enumerate(structures):
        reasons = reasons_to_doubt(structure.numbers, structure.positions)
        if not reasons and (bonded(structure) != bonded(structures[0])).any():
            reasons = ["other atoms are bonded than in frame 0; write structures of one molecule"]
        if reasons:
            # The first doubtful frame is enough.
            return [(f"frame {index}: " if several else "") + reason for reason in reasons]
    return []


def _doubtful_costs(molecule: MoleculeSettings, start: Configuration) -> list[str]:
    def cost(level: LevelOfTheory) -> RoughCost:
        return rough_cost(level, start, forces=molecule.label_settings(level).forces)

    try:
        cheap, accurate = cost(molecule.cheap), cost(molecule.accurate)
    except LabelFailed as error:
        return [f"accurate: found '{molecule.accurate}': {error}; write another method"]
    if cheap.core_seconds > EXCHANGED * accurate.core_seconds:
        return [
            f"cheap: found '{molecule.cheap}', about {cheap.core_seconds / accurate.core_seconds:.0f} times as costly "
            f"a label as accurate: '{molecule.accurate}'; exchange them, or write a cheaper level"
        ]
    labels = sum(molecule.accurate_labels(split) for split in ("train", "valid", "test"))
    return [
        *_doubtful_cost(molecule, "cheap", start, cheap, molecule.sampling.frames),
        *_doubtful_cost(molecule, "accurate", start, accurate, labels),
    ]


def _doubtful_cost(
    molecule: MoleculeSettings, key: str, start: Configuration, cost: RoughCost, labels: int
) -> list[str]:
    level: LevelOfTheory = getattr(molecule, key)
    settings = molecule.label_settings(level)
    hours = labels * cost.core_seconds / 3600
    limit = settings.memory_limit or machine_memory()
    reasons = []
    if hours > MANY_CORE_HOURS:
        reasons.append(f"{_rounded(hours)} core-hours for {labels} labels")
    if cost.core_seconds > settings.time_limit:
        reasons.append(f"longer than time_limit, {settings.time_limit:g} s")
    if cost.memory > limit:
        where = "memory_limit" if settings.memory_limit else "this machine's memory"
        reasons.append(f"more than {where}, {limit / 1024:.1f} GB")
    if not reasons:
        return []
    functions = "" if cost.basis_functions is None else f" and {cost.basis_functions} basis functions"
    return [
        f"{key}: found '{level}', which for {len(start.numbers)} atoms{functions} takes about "
        f"{_rounded(cost.core_seconds / 3600)} core-hours and {_rounded(cost.memory / 1024)} GB a label: "
        f"{', '.join(reasons)}; write a smaller basis set, a cheaper level or a smaller budget"
    ]


def _rounded(value: float) -> str:
    """One significant digit, since rough costs are no more precise.

    >>> _rounded(34.2), _rounded(0.00123)
    ('30', '0.001')
    """
    digit = float(f"{value:.0e}")
    return f"{digit:.0f}" if digit >= 1 else f"{digit:g}"
