"""The cheap levels: the two programs agree with each other, and with what they print for known molecules."""

import numpy as np
import pytest
from ase.build import molecule
from ase.optimize import BFGS

from asteroid.configuration import Configuration
from asteroid.labelling import make_labeller
from asteroid.labelling.calculator import LabellerCalculator
from asteroid.units import HARTREE
from tests.labelling.reference import CATION, FORMALDEHYDE, PEROXYL, level


def test_gfn2_energy_of_a_large_molecule_is_that_of_the_tblite_documentation():
    # The docstring of tblite's Calculator, bohr.
    numbers = [1, 1, 6, 5, 1, 15, 8, 17, 13, 15, 5, 1, 9, 15, 1, 15]
    bohr = np.array(
        [
            [2.79274810283778, 3.82998228828316, -2.79287054959216],
            [-1.43447454186833, 0.43418729987882, 5.53854345129809],
            [-3.26268343665218, -2.50644032426151, -1.56631149351046],
            [2.14548759959147, -0.88798018953965, -2.24592534506187],
            [-4.30233097423181, -3.93631518670031, -0.48930754109119],
            [0.06107643564880, -3.82467931731366, -2.22333344469482],
            [0.41168550401858, 0.58105573172764, 5.56854609916143],
            [4.41363836635653, 3.92515871809283, 2.57961724984000],
            [1.33707758998700, 1.40194471661647, 1.97530004949523],
            [3.08342709834868, 1.72520024666801, -4.42666116106828],
            [-3.02346932078505, 0.04438199934191, -0.27636197425010],
            [1.11508390868455, -0.97617412809198, 6.25462847718180],
            [0.61938955433011, 2.17903547389232, -6.21279842416963],
            [-2.67491681346835, 3.00175899761859, 1.05038813614845],
            [-4.13181080289514, -2.34226739863660, -3.44356159392859],
            [2.85007173009739, -2.64884892757600, 0.71010806424206],
        ]
    )
    from asteroid.units import BOHR

    result = make_labeller(level("gfn2-xtb")).compute(Configuration(numbers, bohr * BOHR))
    # At the default accuracy of the documentation the charges are converged to 1e-6 hartree.
    assert result.energy / HARTREE == pytest.approx(-31.716159156026254, abs=1e-6)


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
