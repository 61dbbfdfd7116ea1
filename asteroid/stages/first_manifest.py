"""A first manifest of one molecule, at the most accurate level whose labels fit the time and memory of this machine.

Costs are rough ones (:mod:`asteroid.engines.rough_cost`); ``asteroid plan`` measures them.
"""

import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from asteroid.chemistry.structures import read_smiles
from asteroid.engines.rough_cost import RoughCost, rough_cost
from asteroid.errors import InputError, LabelFailed
from asteroid.levels import LevelOfTheory
from asteroid.manifest import load_manifest
from asteroid.processes import machine_memory
from asteroid.stages.mistakes import structures_of

LEVELS: Final = (
    "ccsd(t)/cc-pvtz",
    "ccsd(t)/cc-pvdz",
    "df-wb97m-d3bj/def2-tzvp",
    "df-b3lyp-d3bj/def2-svp",
    "df-pbe-d3bj/def2-svp",
)
"""Candidates for the accurate level, the best first."""

LABELS: Final = 90
"""Accurate labels of a run: 50 to train and 20 to test, as the manifest asks, and some 20 for the certificate."""

LONGEST_NAME: Final = 64
"""Characters of a molecule's name from its SMILES."""

_TEMPLATE: Final = """\
store: ./store

molecules:
  - name: {name}
    {key}: {value}
    accurate: {level}
    sampling: {{frames: 1000, temperatures: [300, 500]}}
    budget: {{accurate: 50, test: 20}}
"""


class FirstManifest(NamedTuple):
    """A manifest as text, the name of its molecule, its accurate level, and the rough cost of one label."""

    text: str
    name: str
    level: LevelOfTheory
    cost: RoughCost

    @property
    def core_hours(self) -> float:
        """Of all accurate labels."""
        return LABELS * self.cost.core_seconds / 3600

    @property
    def price(self) -> str:
        """Such as ``0.3 core-hours``."""
        number = f"{self.core_hours:.1g}"
        return f"{number} core-hour{'' if number == '1' else 's'}"


def first_manifest(
    structure: str, target: Path, *, name: str | None = None, levels: Sequence[str] = LEVELS, core_hours: float
) -> FirstManifest:
    """Text of a manifest, for the caller to write to ``target``.

    Args:
        structure: SMILES, or the path of a file that ASE reads.
        name: of the molecule; by default the file's, or the letters and digits of the SMILES.
        levels: candidates for the accurate level, the best first. The first one is chosen whose labels take at most
            ``core_hours`` and fit this machine's memory, otherwise the last one.

    Raises:
        InputError: for a structure, name or level that a manifest refuses.
    """
    geometry = Path(structure)
    if geometry.is_file():
        key, value = "geometry", os.path.relpath(geometry.resolve(), target.resolve().parent)
        name = name or re.sub(r"[^A-Za-z0-9_-]+", "-", geometry.stem).strip("-_")
    else:
        try:
            read_smiles(structure)
        except InputError as error:
            raise InputError(f"{error}, or the path of a file that exists") from None
        key, value = "smiles", structure
        name = name or re.sub(r"[^A-Za-z0-9]+", "-", structure)[:LONGEST_NAME].strip("-")
    texts = {"name": name if name[:1].isalpha() else json.dumps(name), "key": key, "value": json.dumps(value)}
    found, refusals = None, []
    for level in levels:
        try:
            found = _for_level(level, target, texts)
        except InputError as error:
            refusals.append(error)
            continue
        if found.core_hours <= core_hours and found.cost.memory <= machine_memory():
            break
    if found is None:
        raise refusals[-1]
    return found


def _for_level(level: str, target: Path, texts: dict[str, str]) -> FirstManifest:
    """Raises InputError where a manifest with this level is refused."""
    text = _TEMPLATE.format(level=level, **texts)
    with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=".", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        try:
            (settings,) = load_manifest(file.name).molecules
        except InputError as error:
            raise InputError([problem.removeprefix(f"{file.name}: ") for problem in error.problems]) from None
    molecule = structures_of(settings)[0]
    try:
        cost = rough_cost(settings.accurate, molecule, forces=True)
    except LabelFailed as error:
        raise InputError(f"'{level}': {error}") from None
    found = FirstManifest("", settings.name, settings.accurate, cost)
    spin = f"charge {molecule.charge}, multiplicity {molecule.multiplicity}"
    what = f"{molecule.formula}, {len(molecule.numbers)} atoms, {spin}"
    needs = f"about {found.price} and {max(cost.memory / 1024, 0.1):.1g} GB"
    comment = f"# {what}. Some {LABELS} labels at the accurate level take\n# {needs}, within a factor of three.\n"
    return found._replace(text=comment + text)
