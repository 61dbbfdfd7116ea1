"""Programs that QCEngine drives: their numbers are PySCF's, and what fails is a row with the program's reason."""

import shutil

import numpy as np
import pytest

from asteroid.engines import check_supported, make_labeller, process_kind, resolve
from asteroid.engines.qcengine import _version
from asteroid.errors import InputError, LabelFailed
from asteroid.levels import LevelOfTheory
from tests.labelling.reference import FORMALDEHYDE, WATER, attempt, force_error, level

pytest.importorskip("qcengine", reason="QCEngine is in the extra engines")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def own(text: str) -> LevelOfTheory:
    return resolve(LevelOfTheory.parse(text))


@needs("nwchem")
@pytest.mark.long
@pytest.mark.parametrize(
    ("theirs", "ours", "energy", "forces"),
    [
        ("nwchem:hf/sto-3g", "hf/sto-3g", 1e-6, 1e-5),
        # The core is frozen in both: 0.1 eV otherwise. d functions are spherical in both.
        ("nwchem:mp2/cc-pvdz", "mp2/cc-pvdz", 1e-6, 1e-4),
        # NWChem's finest grid against PySCF's level 4; its B3LYP is Gaussian's.
        ("nwchem:b3lyp/def2-svp", "b3lyp/def2-svp", 1e-4, 1e-3),
    ],
)
def test_energies_and_forces_are_those_of_pyscf(theirs, ours, energy, forces):
    found, expected = make_labeller(own(theirs)).compute(WATER), make_labeller(level(ours)).compute(WATER)
    assert found.energy == pytest.approx(expected.energy, abs=energy)
    assert np.allclose(found.forces, expected.forces, atol=forces)


@needs("mopac")
def test_mopac_labels_and_its_forces_are_those_of_its_energy():
    found = attempt(make_labeller(own("MOPAC:PM7")), FORMALDEHYDE)
    assert (found.status, found.program) == ("ok", "mopac")
    # Its output has eight digits of the energy in hartree.
    assert force_error("mopac:pm7", FORMALDEHYDE, step=5e-3) < 1e-3


@needs("mopac")
def test_a_job_that_fails_is_a_failed_label_with_the_programs_reason():
    with pytest.raises(LabelFailed, match="MOPAC does not have method: PM77"):
        make_labeller(own("mopac:pm77")).compute(WATER)
    failed = attempt(make_labeller(own("mopac:pm77")), WATER)
    assert (failed.status, failed.energy) == ("failed", None)


@pytest.mark.parametrize("program", [pytest.param(name, marks=needs(name)) for name in ("psi4", "nwchem", "mopac")])
def test_asking_a_program_for_its_version_leaves_no_file_where_one_works(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _version.__wrapped__(program)[0].isdigit()
    assert list(tmp_path.iterdir()) == []


def test_a_level_has_one_spelling():
    assert str(own("qcengine:Psi4:B3LYP-D3BJ/def2-SVP")) == "psi4:b3lyp-d3bj/def2-svp"
    # The program shares its name with an engine that has no levels of its own.
    assert str(own("qcengine:xtb:GFN2-xTB")) == "qcengine:xtb:gfn2-xtb"
    assert LevelOfTheory.parse("psi4:b3lyp-d3bj/def2-svp", imported=True) == own("psi4:b3lyp-d3bj/def2-svp")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("psi5:hf/sto-3g", "unknown engine 'psi5'; did you mean 'psi4'?"),
        ("qcengine:psi5:hf/sto-3g", "QCEngine has no program 'psi5'; did you mean 'psi4'?"),
        ("qcengine:psi4", "write psi4:method/basis"),
        ("psi4:hf/", "write psi4:method/basis"),
        ("xtb:gfn2-xtb", "xtb has no levels of its own"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(text, said):
    with pytest.raises(InputError) as refused:
        own(text)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_potentials_of_qcengine_are_kept_from_quantum_chemistry():
    assert process_kind(own("torchani:ani1ccx")) == "torch"
    assert process_kind(own("psi4:hf/sto-3g")) == "plain"
    check_supported(own("psi4:hf/sto-3g"), charge=-1, multiplicity=2)
