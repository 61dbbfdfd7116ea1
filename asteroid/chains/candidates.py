"""Candidates for intermediate levels of a chain, selected by their rough cost."""

import itertools
from typing import Final

from asteroid.configuration import Configuration
from asteroid.engines import check_elements, check_supported
from asteroid.engines.rough_cost import rough_cost
from asteroid.errors import AsteroidError
from asteroid.levels import LevelOfTheory

MOST: Final = 4
"""Largest number of candidates: most of their pilot labels serve only for the choice."""

CHEAPER: Final = 0.4
"""Largest cost of a candidate, as a part of the cost of the accurate level."""

SMALLER: Final = {
    "aug-cc-pvqz": ("aug-cc-pvtz", "cc-pvdz"),
    "cc-pvqz": ("cc-pvtz", "cc-pvdz"),
    "aug-cc-pvtz": ("aug-cc-pvdz", "cc-pvdz"),
    "cc-pvtz": ("cc-pvdz", "6-31g"),
    "aug-cc-pvdz": ("cc-pvdz", "6-31g"),
    "cc-pvdz": ("6-31g",),
    "def2-qzvp": ("def2-tzvp", "def2-svp"),
    "def2-qzvpp": ("def2-tzvp", "def2-svp"),
    "def2-tzvp": ("def2-svp", "3-21g"),
    "def2-tzvpp": ("def2-svp", "3-21g"),
    "def2-svp": ("6-31g", "3-21g"),
    "6-311g**": ("6-31g*", "6-31g"),
    "6-31g**": ("6-31g", "3-21g"),
    "6-31g*": ("6-31g", "3-21g"),
    "6-31g": ("3-21g",),
}
"""Smaller basis sets to try for each basis set, the larger first."""


def candidates(cheap: LevelOfTheory, accurate: LevelOfTheory, molecule: Configuration) -> list[LevelOfTheory]:
    """At most :data:`MOST` levels, the most expensive first; none for imported levels and levels of engines.

    Of a composite level, its parts come before others, whatever they cost: each accurate label includes theirs. A
    functional on a coarse grid may cost half as much as on the usual one, because it differs so little.

    Args:
        molecule: any geometry.
    """
    if not accurate.parts and (accurate.basis is None or accurate.family in ("imported", "engine")):
        return []
    most = CHEAPER * rough_cost(accurate, molecule, forces=True).core_seconds
    own = {part.level: int(part.weight < 0) for part in accurate.parts}
    exact = dict.fromkeys([*own, *(each for part in accurate.computed for each in _below(part))])
    variants = {level: (level.fitted, level.coarse) for level in (*accurate.computed, *exact)}
    spared = {*own, *(level.coarse for level in accurate.computed)}
    priced: dict[LevelOfTheory, float] = {}
    for level in dict.fromkeys((*exact, *itertools.chain(*variants.values()))):
        if level in (None, cheap, accurate):
            continue
        try:
            check_elements(level, molecule.numbers.tolist())
            check_supported(level, charge=molecule.charge, multiplicity=molecule.multiplicity)
            price = rough_cost(level, molecule, forces=True).core_seconds
        except AsteroidError:
            continue
        if level in spared or price < most:
            priced[level] = price
    for level, others in variants.items():
        # With density fitting and on a coarse grid a level is nearly the same: only the cheapest is a candidate, or
        # that which is a part of the accurate level.
        alike = [each for each in (level, *others) if each in priced]
        for each in sorted(alike, key=lambda each: (each not in own, priced[each]))[1:]:
            if each not in own:
                del priced[each]
    return sorted(priced, key=lambda level: (own.get(level, 2), -priced[level]))[:MOST]


def _below(level: LevelOfTheory) -> list[LevelOfTheory]:
    """Lower methods in the same basis set, then these and the method itself in smaller ones."""
    methods = {
        "ccsd(t)": ["mp2", "hf"],
        "ccsd": ["mp2", "hf"],
        "mp2": ["hf"],
        "hf": [],
        "dft": ["hf"],
    }[level.family]
    basis = str(level.basis)
    found = [LevelOfTheory(method, None, basis) for method in methods]
    for smaller in SMALLER.get(basis, ()):
        own = [] if level.family in ("ccsd", "ccsd(t)") else [LevelOfTheory(level.method, level.dispersion, smaller)]
        found += [*own, *(LevelOfTheory(method, None, smaller) for method in methods)]
    return found
