"""What a molecule consists of, by the SMILES that people write; :mod:`asteroid.chemistry.geometry_files` reads files.

The manifest asks here before anything is computed; :mod:`asteroid.sampling.conformers` builds the three-dimensional
structure. RDKit is imported only when there is something to read.
"""

from dataclasses import dataclass
from typing import Any

from asteroid.configuration import SYMBOLS
from asteroid.errors import InputError, MissingDependencyError, plural

MOST_ATOMS = 1000
"""More are a slip of the keyboard: no method here labels them."""


@dataclass(frozen=True)
class Composition:
    """What a SMILES stands for.

    Args:
        numbers: atomic numbers, hydrogens included, in the order of the atoms.
        charge: e.
        unpaired: electrons without a partner.
    """

    numbers: tuple[int, ...]
    charge: int
    unpaired: int

    @property
    def multiplicity(self) -> int:
        """The multiplicity that the SMILES means, else the lowest that the number of electrons allows."""
        lowest = 1 + (sum(self.numbers) - self.charge) % 2
        meant = self.unpaired + 1
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
    """Raise InputError unless these atomic numbers can be a molecule's; ``found`` says what has them."""
    if len(numbers) < 2:
        raise InputError(f"found {found}, which has {plural(len(numbers), 'atom')}; write a molecule of at least two")
    if len(numbers) > MOST_ATOMS:
        raise InputError(f"found {found}, which has {len(numbers)} atoms; write a molecule of at most {MOST_ATOMS}")
    if min(numbers) < 1 or max(numbers) >= len(SYMBOLS):
        raise InputError(f"found {found}, which has atoms of no known element; write elements from H to {SYMBOLS[-1]}")


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
