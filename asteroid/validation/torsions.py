"""Relaxed torsion scans with the model, compared with accurate single points at some of its geometries.

Torsions lead farthest from the minima, and harmonic frequencies say little about them.
:mod:`asteroid.stages.torsions` runs the scans and labels the points; :mod:`asteroid.validation.evidence` has the
threshold.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.bonds import turning_side
from asteroid.chemistry.structures import parse_smiles
from asteroid.configuration import Configuration
from asteroid.store.records import Floats, Ints

STEP = 15.0
"""degrees between the points of a profile; a threefold barrier is 120 wide."""
FORCE = 0.02
"""eV/Å, largest force on an atom of a relaxed point."""
STEPS = 100
"""Largest number of optimiser steps for each point; points that do not converge are used as they are."""

_ROTATABLE = "[!D1;!$(*#*)]-!@[!D1;!$(*#*)]"
"""SMARTS: acyclic single bond; both ends have another neighbour, hydrogen included, and no triple bond."""


@dataclass(frozen=True)
class Torsion:
    """A rotatable bond with the atoms of its dihedral angle.

    Args:
        atoms: i, j, k, l; the bond is j–k.
        name: such as ``H2–C0–O1–H5``.
    """

    atoms: tuple[int, int, int, int]
    name: str


@dataclass(frozen=True, eq=False)
class Profile:
    """A model's energies along one torsion.

    Args:
        turns: (P,) degrees from the minimum, ascending, 0 included.
        energies: (P,) eV above the minimum.
        geometries: P relaxed geometries, the minimum included.
    """

    torsion: Torsion
    turns: Floats
    energies: Floats
    geometries: tuple[Configuration, ...]


@dataclass(frozen=True, eq=False)
class TorsionComparison:
    """A model's torsion profile with accurate energies of some points.

    Args:
        name: atoms of the torsion.
        turns: (P,) degrees from the model's minimum.
        energies: (P,) eV above the minimum, of the model.
        points: (L,) indices of the labelled points, without the minimum.
        accurate: (L,) eV above the accurate energy at the model's minimum.
        worst: eV, largest absolute difference; None without a label.
        asked: number of points to be labelled.
    """

    name: str
    turns: Floats
    energies: Floats
    points: Ints
    accurate: Floats
    worst: float | None
    asked: int


def rotatable_bonds(configuration: Configuration, smiles: str | None) -> list[Torsion]:
    """Rotatable bonds, including those of methyl and hydroxyl groups.

    Args:
        configuration: usually the minimum.
        smiles: of the same molecule with the same order of atoms; None to find the bonds from the geometry with RDKit.

    Raises:
        ValueError: if RDKit cannot find the bonds.
    """
    from rdkit import Chem

    molecule = parse_smiles(smiles) if smiles else _perceive(configuration)
    found = []
    # The pattern is symmetric, so each bond is found once.
    for j, k in sorted(molecule.GetSubstructMatches(Chem.MolFromSmarts(_ROTATABLE))):
        i, m = (_heaviest(molecule, atom, other) for atom, other in ((j, k), (k, j)))
        symbols = configuration.symbols
        found.append(Torsion((i, j, k, m), "–".join(f"{symbols[a]}{a}" for a in (i, j, k, m))))
    return found


def _perceive(configuration: Configuration) -> Any:
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds

    atoms = zip(configuration.symbols, configuration.positions, strict=True)
    lines = [f"{s} {x:.8f} {y:.8f} {z:.8f}" for s, (x, y, z) in atoms]
    with rdBase.BlockLogs():
        molecule = Chem.MolFromXYZBlock("\n".join([str(len(lines)), "", *lines]))
        rdDetermineBonds.DetermineBonds(molecule, charge=configuration.charge)
    return molecule


def _heaviest(molecule: Any, atom: int, other: int) -> int:
    """The heaviest neighbour of an atom, without ``other``, the other end of the bond."""
    neighbours = [n for n in molecule.GetAtomWithIdx(atom).GetNeighbors() if n.GetIdx() != other]
    return int(min(neighbours, key=lambda n: (-n.GetAtomicNum(), n.GetIdx())).GetIdx())


def scan(calculator: Any, minimum: Configuration, torsion: Torsion, bonds: npt.NDArray[np.bool_]) -> Profile:
    """Relaxed scan of a torsion in both directions from the minimum.

    Args:
        calculator: an ASE calculator.
        bonds: (N, N), which atoms are bonded.
    """
    half = round(180 / STEP)
    forth, back = (_turn(calculator, minimum, torsion, bonds, sign * STEP, half) for sign in (1.0, -1.0))
    atoms: Any = minimum.to_atoms()
    atoms.calc = calculator
    rest = float(atoms.get_potential_energy())
    # Both directions end at 180°; keep the lower energy.
    last = min(forth.pop(), back.pop(), key=lambda point: point[1])
    points = [*reversed(back), (minimum, rest), *forth, last]
    turns: Floats = STEP * np.arange(1 - half, half + 1, dtype=np.float64)
    return Profile(torsion, turns, np.array([e for _, e in points]) - rest, tuple(c for c, _ in points))


def _turn(
    calculator: Any,
    minimum: Configuration,
    torsion: Torsion,
    bonds: npt.NDArray[np.bool_],
    step: float,
    count: int,
) -> list[tuple[Configuration, float]]:
    """Geometry and energy (eV) of each step, relaxed from the previous one."""
    from ase.constraints import FixInternals
    from ase.optimize import BFGS

    atoms: Any = minimum.to_atoms()
    atoms.calc = calculator
    moving = [int(a) for a in np.flatnonzero(turning_side(bonds, torsion.atoms[1], torsion.atoms[2]))]
    points = []
    for _ in range(count):
        atoms.set_constraint()
        atoms.rotate_dihedral(*torsion.atoms, step, indices=moving)
        angle = atoms.get_dihedral(*torsion.atoms)
        atoms.set_constraint(FixInternals(dihedrals_deg=[[angle, list(torsion.atoms)]], epsilon=1e-5))
        optimiser: Any = BFGS(atoms, logfile=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimiser.run(fmax=FORCE, steps=STEPS)
        points.append((minimum.with_positions(atoms.positions), float(atoms.get_potential_energy())))
    return points


def points_to_label(profile: Profile, count: int) -> list[int]:
    """Indices of the points to label: the top of the barrier, then those farthest from the labelled angles.

    Args:
        count: number of points, without the minimum.
    """
    angles = np.radians(profile.turns)
    known = [int(np.flatnonzero(profile.turns == 0)[0]), int(profile.energies.argmax())]
    while len(known) <= min(count, len(angles) - 1):
        apart = np.abs(np.angle(np.exp(1j * (angles[:, None] - angles[known]))))
        known.append(int(apart.min(axis=1).argmax()))
    return known[1 : count + 1]


def compare_torsion(
    name: str,
    turns: npt.ArrayLike,
    energies: npt.ArrayLike,
    minimum_energy: float,
    labelled: Mapping[int, float],
    *,
    asked: int,
) -> TorsionComparison:
    """Compare a model's profile with accurate energies of some points.

    Args:
        name, turns, energies: see :class:`TorsionComparison`.
        minimum_energy: eV, accurate energy at the model's minimum.
        labelled: accurate energies, eV, by index of the point.
        asked: number of points to be labelled.
    """
    points = np.array(sorted(labelled), dtype=np.int64)
    own = np.asarray(energies, dtype=np.float64)
    accurate = np.array([labelled[int(i)] for i in points], dtype=np.float64) - minimum_energy
    worst = float(np.abs(own[points] - accurate).max()) if len(points) else None
    return TorsionComparison(name, np.asarray(turns, dtype=np.float64), own, points, accurate, worst, asked)
