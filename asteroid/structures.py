"""Starting structures as people write them: a SMILES, or a file that ASE reads.

The manifest asks here what a molecule consists of before anything is computed; :mod:`asteroid.sampling.conformers`
builds the three-dimensional structure. RDKit and ASE are imported only when there is something to read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asteroid.configuration import SYMBOLS, Configuration
from asteroid.errors import InputError, MissingDependencyError

CLOSEST = 0.3
"""Å: nuclei nearer than this are a mistake in a file, not a molecule."""

MOST_ATOMS = 1000
"""More are a slip of the keyboard: no method here labels them."""


@dataclass(frozen=True)
class Composition:
    """What a structure consists of.

    Args:
        numbers: atomic numbers, hydrogens included, in the order of the atoms.
        charge: as written in a SMILES; None where the input says nothing.
        unpaired: electrons that a SMILES leaves without a partner; None where the input says nothing.
    """

    numbers: tuple[int, ...]
    charge: int | None = None
    unpaired: int | None = None

    def multiplicity(self, charge: int) -> int:
        """The multiplicity that the SMILES means, else the lowest that the number of electrons allows."""
        lowest = 1 + (sum(self.numbers) - charge) % 2
        meant = lowest if self.unpaired is None else self.unpaired + 1
        return meant if (meant - lowest) % 2 == 0 else lowest


def parse_smiles(smiles: str) -> Any:
    """The RDKit molecule of a SMILES, hydrogens added.

    Raises:
        InputError: for what is not a SMILES or not a molecule of at least two atoms of known elements.
        MissingDependencyError: if RDKit is not installed.
    """
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        raise MissingDependencyError("rdkit", "label") from None

    # RDKit explains itself on stderr; the user gets one line instead.
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles) if smiles.strip() and "\0" not in smiles else None
        if molecule is None:
            raise InputError(f"found {_shorten(smiles)}, which is not a SMILES; write one such as 'CO' (methanol)")
        molecule = Chem.AddHs(molecule)
    _check_numbers([atom.GetAtomicNum() for atom in molecule.GetAtoms()], _shorten(smiles))
    return molecule


def read_smiles(smiles: str) -> Composition:
    """Elements, charge and unpaired electrons of a SMILES; raises what :func:`parse_smiles` raises.

    >>> read_smiles("[OH-]")
    Composition(numbers=(8, 1), charge=-1, unpaired=0)
    """
    atoms = list(parse_smiles(smiles).GetAtoms())
    return Composition(
        tuple(atom.GetAtomicNum() for atom in atoms),
        sum(atom.GetFormalCharge() for atom in atoms),
        sum(atom.GetNumRadicalElectrons() for atom in atoms),
    )


def read_geometry(path: Path, *, charge: int = 0) -> Configuration:
    """The first frame of a file that ASE reads, at the lowest multiplicity that ``charge`` allows.

    Raises:
        InputError: when the file is absent, not readable, periodic, or not a molecule of at least two atoms.
        MissingDependencyError: if ASE is not installed.
    """
    (atoms,) = read_frames(path, index="0:1")
    numbers = [int(z) for z in atoms.numbers]
    _check_numbers(numbers, f"'{path}'")
    if not np.isfinite(atoms.positions).all():
        raise InputError(f"found '{path}', whose positions are not finite; write coordinates in Å")
    nearest = float((atoms.get_all_distances() + 1e9 * np.eye(len(atoms))).min())
    if nearest < CLOSEST:
        raise InputError(f"found '{path}', where two atoms are {nearest:.2f} Å apart; write coordinates in Å")
    if sum(numbers) - charge < 1:
        raise InputError(f"a charge of {charge} leaves no electrons; write a smaller one")
    return Configuration(atoms.numbers, atoms.positions, charge, Composition(tuple(numbers)).multiplicity(charge))


def read_frames(path: Path, *, index: str = ":") -> list[Any]:
    """Molecules of a file as ASE's atoms.

    Args:
        index: which frames, as ASE writes it.

    Raises:
        InputError: when the file is absent, empty, not readable, or periodic.
        MissingDependencyError: if ASE is not installed.
    """
    if not path.is_file():
        raise InputError(f"found '{path}', where there is no file; write the path of a geometry that ASE reads")
    try:
        import ase.io
    except ImportError:
        raise MissingDependencyError("ase", "label") from None

    try:
        frames = ase.io.read(path, index=index, do_not_split_by_at_sign=True)
    # ASE has some eighty readers, each failing in its own way on a broken file.
    except Exception as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"found '{path}', which ASE cannot read ({reason}); write a file such as an .xyz") from None
    if not frames:
        raise InputError(f"found '{path}', which holds no frames; write at least one")
    if any(any(atoms.pbc) for atoms in frames):
        raise InputError(f"found '{path}', which is periodic; write a geometry of a molecule without a cell")
    return list(frames)


def _check_numbers(numbers: list[int], found: str) -> None:
    if len(numbers) < 2:
        raise InputError(f"found {found}, which has {len(numbers)} atoms; write a molecule of at least two")
    if len(numbers) > MOST_ATOMS:
        raise InputError(f"found {found}, which has {len(numbers)} atoms; write a molecule of at most {MOST_ATOMS}")
    if min(numbers) < 1 or max(numbers) >= len(SYMBOLS):
        raise InputError(f"found {found}, which has atoms of no known element; write elements from H to {SYMBOLS[-1]}")


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
