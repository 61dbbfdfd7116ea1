"""The cheap levels: the two programs agree with each other, and with what they print for known molecules."""

import numpy as np
import pytest
from ase.build import molecule
from ase.optimize import BFGS

from asteroid.configuration import Configuration
from asteroid.engines import make_labeller
from asteroid.errors import AsteroidError, LabelFailed
from asteroid.labelling.calculator import LabellerCalculator
from tests.labelling.reference import CATION, FORMALDEHYDE, PEROXYL, level


@pytest.mark.parametrize("method", ["gfn1-xtb", "gfn2-xtb"])
@pytest.mark.parametrize("configuration", [FORMALDEHYDE, PEROXYL, CATION], ids=["singlet", "doublet", "cation"])
def test_tblite_and_xtb_agree(method, configuration):
    first, second = (make_labeller(level(method), engine).compute(configuration) for engine in ("tblite", "xtb"))
    # Both are converged to 1e-8; the programs carry constants of different years.
    assert first.energy == pytest.approx(second.energy, abs=1e-6)
    assert np.allclose(first.forces, second.forces, atol=1e-5)


@pytest.mark.parametrize("name", ["CH3OH", "H2CO", "CH3CHO"])
def test_xtb_forces_are_right_where_atoms_share_a_coordinate(name):
    # xtb's own gradient is off by 0.2 eV/Å here (grimme-lab/xtb issue 986): molecules are turned before it sees them.
    configuration = Configuration.from_atoms(molecule(name))
    first, second = (make_labeller(level("gfn2-xtb"), engine).compute(configuration) for engine in ("tblite", "xtb"))
    assert np.allclose(first.forces, second.forces, atol=1e-5)


def test_gfn_ff_prints_nothing_and_leaves_no_files(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    labeller = make_labeller(level("gfn-ff"))
    first = labeller.compute(FORMALDEHYDE)
    labeller.compute(Configuration.from_atoms(molecule("CH3OH")))
    # A topology left over from methanol would be taken for formaldehyde's.
    assert labeller.compute(FORMALDEHYDE).energy == first.energy
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().out == ""


def test_a_molecule_is_optimised_through_the_ase_calculator():
    atoms = FORMALDEHYDE.to_atoms()
    atoms.calc = LabellerCalculator(make_labeller(level("gfn2-xtb")))
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=100)
    # GFN2-xTB's C=O bond of formaldehyde; ASE's G2 geometry has 1.205 Å.
    assert atoms.get_distance(0, 1) == pytest.approx(1.20, abs=0.02)


def test_a_slower_mixer_converges_what_the_default_does_not():
    # Ozone pulled apart; xtb mixes differently and needs no retry step.
    ozone = Configuration([8, 8, 8], [[0, 0, 0], [1.7, -0.506, -0.974], [0.155, -2.822, -0.082]])
    found = make_labeller(level("gfn2-xtb"), "tblite").compute(ozone)
    assert found.retry_steps == ("default", "damped")
    assert found.energy == pytest.approx(make_labeller(level("gfn2-xtb"), "xtb").compute(ozone).energy, abs=1e-5)


@pytest.mark.long
def test_a_label_that_does_not_converge_names_the_retry_steps_that_were_tried():
    ion = Configuration([14, 8], [[0, 0, 0], [0, 0, -1.54]], charge=-2)
    with pytest.raises(LabelFailed, match="SCF not converged in 500 cycles") as failure:
        make_labeller(level("gfn2-xtb"), "tblite").compute(ion)
    assert failure.value.retry_steps == ("default", "damped")


@pytest.mark.parametrize(
    ("python", "line"),
    [
        ((3, 13), "the package xtb does not exist for Python 3.13; use Python 3.11 for gfn-ff with engine xtb"),
        ((3, 11), "the package xtb is not installed; run: pip install 'asteroid-forcefields[label]'"),
    ],
)
def test_a_missing_xtb_says_how_to_get_it(python: tuple[int, int], line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("sys.version_info", python)
    with pytest.raises(AsteroidError) as refused:
        make_labeller(level("gfn-ff"))
    assert str(refused.value) == line
