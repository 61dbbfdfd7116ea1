"""The bonds of structures whose bonds are known."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from asteroid.chemistry.bonds import bonded
from asteroid.configuration import Configuration


@pytest.mark.parametrize("smiles", ["O", "O=C=O", "C#C", "CCO", "CC(=O)Oc1ccccc1C(=O)O", "O=CC=CO", "CS(=O)(=O)Cl"])
def test_bonds_are_those_of_the_structural_formula(smiles):
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(molecule, randomSeed=1) == 0
    AllChem.MMFFOptimizeMolecule(molecule)
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    found = bonded(Configuration(numbers, molecule.GetConformer().GetPositions()))
    assert np.array_equal(found, Chem.GetAdjacencyMatrix(molecule).astype(bool))


def test_hydrogen_bonded_molecules_are_not_bonded():
    dimer = Configuration([8, 1, 8, 1], [[0, 0, 0], [0, 0, 0.97], [0, 0, 2.7], [0.9, 0, 3.0]])
    assert np.triu(bonded(dimer)).sum() == 2
