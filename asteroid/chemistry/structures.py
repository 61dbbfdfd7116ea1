"""Composition of a molecule from its SMILES; :mod:`asteroid.chemistry.geometry_files` reads files.

Used to check manifests; :mod:`asteroid.sampling.conformers` builds three-dimensional structures. RDKit is imported only
when needed.
"""

from dataclasses import dataclass
from typing import Any

from asteroid.configuration import SYMBOLS
from asteroid.errors import InputError, MissingDependencyError, plural

MOST_ATOMS = 1000
"""Largest number of atoms of a molecule."""


@dataclass(frozen=True)
class Composition:
    """Composition of a molecule.

    Args:
        numbers: atomic numbers, including hydrogens, in the order of the atoms.
        charge: e.
        unpaired: number of unpaired electrons.
    """

    numbers: tuple[int, ...]
    charge: int
    unpaired: int

    @property
    def multiplicity(self) -> int:
        """2S + 1 from the unpaired electrons of the SMILES, or if that is impossible the lowest."""
        lowest = 1 + (sum(self.numbers) - self.charge) % 2
        meant = self.unpaired + 1
        return meant if (meant - lowest) % 2 == 0 else lowest


def parse_smiles(smiles: str) -> Any:
    """The RDKit molecule of a SMILES, with hydrogens.

    Raises:
        InputError: for an invalid SMILES, fewer than two atoms, or unknown elements.
        MissingDependencyError: if RDKit is not installed.
    """
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        raise MissingDependencyError("rdkit", "label") from None

    # Without RDKit's messages on stderr: the user gets one line instead.
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles) if smiles.strip() and "\0" not in smiles else None
        if molecule is None:
            raise InputError(f"found {_shorten(smiles)}, which is not a SMILES; write one such as 'CO' (methanol)")
        molecule = Chem.AddHs(molecule)
    check_numbers([atom.GetAtomicNum() for atom in molecule.GetAtoms()], _shorten(smiles))
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


def check_numbers(numbers: list[int], found: str) -> None:
    """Raise InputError unless these can be the atomic numbers of a molecule; ``found`` describes the input."""
    if len(numbers) < 2:
        raise InputError(f"found {found}, which has {plural(len(numbers), 'atom')}; write a molecule of at least two")
    if len(numbers) > MOST_ATOMS:
        raise InputError(f"found {found}, which has {len(numbers)} atoms; write a molecule of at most {MOST_ATOMS}")
    if min(numbers) < 1 or max(numbers) >= len(SYMBOLS):
        raise InputError(f"found {found}, which has atoms of no known element; write elements from H to {SYMBOLS[-1]}")


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
