"""Every frame of a geometry file is a starting structure."""

from pathlib import Path

import pytest
from ase.build import molecule as ase_molecule
from ase.io import write

from asteroid.engines import make_labeller
from asteroid.manifest import MoleculeSettings
from asteroid.sampling.conformers import find_conformers


def test_the_frames_of_a_file_lead_to_the_conformers_that_they_are(tmp_path: Path) -> None:
    syn = ase_molecule("HCOOH")
    chain = [2, 1, 0, 3]
    assert "".join(syn.symbols[chain]) == "OCOH"
    assert syn.get_distance(0, 3) < 1, "the hydrogen of the acid"
    anti = syn.copy()
    anti.set_dihedral(*chain, syn.get_dihedral(*chain) + 180)
    for path, frames, expected in (("one.xyz", [anti], 1), ("two.xyz", [anti, syn, syn], 2)):
        write(tmp_path / path, frames)
        settings = MoleculeSettings(name="acid", geometry=tmp_path / path)
        found = find_conformers(settings, make_labeller(settings.cheap))
        assert len(found) == expected
    # The syn conformer is the lower one.
    angles = [configuration.to_atoms().get_dihedral(*chain) for configuration, _ in found]
    assert [abs(angle - 180) for angle in angles] == pytest.approx([180, 0], abs=2)
