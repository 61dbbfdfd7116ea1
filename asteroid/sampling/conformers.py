"""Conformers: distinct minima of the cheap level, from a SMILES or a file.

Structures from RDKit (ETKDG and a force field; :mod:`asteroid.sampling.clusters` places the fragments of a cluster) are
optimised at the cheap level. Duplicates, and structures that are no longer the molecule, are dropped. The minima are
frames, and the start of all trajectories.
"""

import logging
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import CalculationFailed

from asteroid.chemistry.fragments import is_cluster
from asteroid.chemistry.geometry_files import read_structures
from asteroid.chemistry.structures import parse_smiles
from asteroid.configuration import Configuration
from asteroid.engines import Labeller
from asteroid.errors import AsteroidError
from asteroid.labelling.calculator import LabellerCalculator
from asteroid.manifest import MoleculeSettings
from asteroid.sampling.clusters import place
from asteroid.sampling.screening import Screen
from asteroid.sampling.select import sorted_distances

logger = logging.getLogger(__name__)

FORCE = 0.01
"""eV/Å, largest force left in a minimum."""
STEPS = 500
PROPOSALS = 2
"""Structures embedded per wanted conformer: some lead to the same minimum."""
ARRANGEMENTS = 4
"""Additional structures of a cluster: not all orientations of two waters lead to the hydrogen bond."""
SAME_ENERGY = 0.002
"""eV"""
SAME_DISTANCES = 0.1
"""Å, largest difference of the sorted distances of equal minima; mirror images are equal."""


def starting_configuration(molecule: MoleculeSettings) -> Configuration:
    """The structure from the molecule's file, or built by RDKit from its SMILES.

    Raises:
        InputError: when the file cannot be read.
        AsteroidError: when RDKit finds no structure.
    """
    return _proposals(molecule, 1)[0]


def find_conformers(molecule: MoleculeSettings, labeller: Labeller) -> list[tuple[Configuration, float]]:
    """Distinct minima of the cheap level and their energies (eV), lowest first; at most ``sampling.conformers``.

    Raises:
        AsteroidError: when no structure stays intact at the cheap level.
    """
    wanted = molecule.sampling.conformers
    proposals = _proposals(molecule, PROPOSALS * wanted)
    if not molecule.geometry and is_cluster(proposals[0]):
        proposals = _proposals(molecule, PROPOSALS * wanted + ARRANGEMENTS)
    screen = Screen.of(proposals[0])
    minima: list[tuple[Configuration, float]] = []
    reasons: list[str] = []
    for proposal in proposals:
        try:
            minimum, energy = _relax(labeller, proposal)
        except CalculationFailed as error:
            reasons.append(str(error))
            continue
        if reason := screen.reason_to_drop(minimum.positions):
            reasons.append(reason)
        else:
            minima.append((minimum, energy))
    if not minima:
        raise AsteroidError(
            f"{molecule.name}: {labeller.level} does not keep the molecule together "
            f"({', '.join(sorted(set(reasons)))}); write another cheap level or a geometry"
        )
    distinct: list[tuple[Configuration, float]] = []
    for minimum, energy in sorted(minima, key=lambda found: found[1]):
        if not any(_same(minimum, energy, other, other_energy) for other, other_energy in distinct):
            distinct.append((minimum, energy))
    logger.info("%s: %d conformers of %d structures", molecule.name, len(distinct[:wanted]), len(proposals))
    return distinct[:wanted]


def _proposals(molecule: MoleculeSettings, count: int) -> list[Configuration]:
    """All structures of the molecule's file, or up to ``count`` that RDKit builds from its SMILES."""
    if molecule.geometry is not None:
        return read_structures(molecule.geometry, charge=molecule.charge, multiplicity=molecule.multiplicity)
    assert molecule.smiles is not None, "MoleculeSettings has a SMILES or a geometry"
    return [
        Configuration(numbers, positions, molecule.charge, molecule.multiplicity)
        for numbers, positions in _structures(molecule.smiles, count, molecule.sampling.seed)
    ]


def _structures(smiles: str, count: int, seed: int) -> list[tuple[Any, Any]]:
    """Numbers (N,) and positions (N, 3) Å, in the order of the SMILES, of up to ``count`` structures."""
    from rdkit import Chem

    whole = parse_smiles(smiles)
    numbers = np.array([atom.GetAtomicNum() for atom in whole.GetAtoms()])
    atoms: list[tuple[int, ...]] = []
    parts = Chem.GetMolFrags(whole, asMols=True, frags=None, fragsMolAtomMapping=atoms)
    shapes = [_embed(part, smiles, count, seed) for part in parts]
    if len(parts) == 1:
        return [(numbers, shape) for shape in shapes[0]]
    found = []
    for index in range(count):
        positions = np.empty((len(numbers), 3))
        fragments = [(numbers[list(own)], own_shapes) for own, own_shapes in zip(atoms, shapes, strict=True)]
        arrangement = place(fragments, seed=int(np.random.SeedSequence([seed, index]).generate_state(1)[0]))
        for own, shape in zip(atoms, arrangement, strict=True):
            positions[list(own)] = shape
        found.append((numbers, positions))
    return found


def _embed(structure: Any, smiles: str, count: int, seed: int) -> list[Any]:
    """Positions (N, 3) Å of up to ``count`` conformers, relaxed with MMFF94, or UFF where MMFF94 has no parameters."""
    from rdkit import rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    if structure.GetNumAtoms() == 1:
        return [np.zeros((1, 3))]
    parameters: Any = rdDistGeom.ETKDGv3()
    # RDKit multiplies the seed by the number of the conformer: 0 would give the same one each time, and the product
    # must stay below 2**31.
    parameters.randomSeed = 1 + seed % 2**20
    with rdBase.BlockLogs():
        if not rdDistGeom.EmbedMultipleConfs(structure, count, parameters):
            parameters.useRandomCoords = True
            if not rdDistGeom.EmbedMultipleConfs(structure, count, parameters):
                raise AsteroidError(f"RDKit finds no structure for '{smiles}'; write a geometry instead")
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(structure):
            rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(structure)
        elif rdForceFieldHelpers.UFFHasAllMoleculeParams(structure):
            rdForceFieldHelpers.UFFOptimizeMoleculeConfs(structure)
    return [conformer.GetPositions() for conformer in structure.GetConformers()]


def _relax(labeller: Labeller, configuration: Configuration) -> tuple[Configuration, float]:
    # Not at the top: the import takes half a second.
    from ase.optimize import BFGS

    atoms: ase.Atoms = configuration.to_atoms()
    atoms.calc = LabellerCalculator(labeller, configuration.charge, configuration.multiplicity)
    BFGS(atoms, logfile=None).run(fmax=FORCE, steps=STEPS)
    return configuration.with_positions(atoms.positions), float(atoms.get_potential_energy())


def _same(a: Configuration, energy_a: float, b: Configuration, energy_b: float) -> bool:
    differences = np.abs(sorted_distances([a])[0] - sorted_distances([b])[0])
    return abs(energy_a - energy_b) < SAME_ENERGY and bool(differences.max() < SAME_DISTANCES)
