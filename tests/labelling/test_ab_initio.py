"""PySCF labels: the retry ladder, quietness and the cases that are refused."""

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.errors import InputError, LabelFailed
from asteroid.labelling import ab_initio, make_labeller
from tests.labelling.reference import FORMALDEHYDE, PEROXYL, level


@pytest.mark.parametrize("configuration", [FORMALDEHYDE, PEROXYL], ids=["restricted", "unrestricted"])
def test_second_order_scf_gives_the_label_that_diis_would_have_given(configuration, monkeypatch):
    labeller = make_labeller(level("mp2/sto-3g"))
    first = labeller.compute(configuration)
    monkeypatch.setattr(ab_initio, "SCF_CYCLES", 7)
    second = labeller.compute(configuration)
    assert (first.rungs, second.rungs) == (("default",), ("default", "second-order"))
    assert second.energy == pytest.approx(first.energy, abs=1e-6)
    assert np.allclose(first.forces, second.forces, atol=1e-5)


def test_nothing_is_printed(capfd):
    make_labeller(level("ccsd(t)/sto-3g")).compute(FORMALDEHYDE)
    make_labeller(level("ccsd(t)/sto-3g")).compute(PEROXYL, forces=False)
    assert capfd.readouterr().out == ""


def test_an_energy_only_label_is_the_energy_of_the_full_one():
    labeller = make_labeller(level("ccsd(t)/sto-3g"))
    only, full = labeller.compute(FORMALDEHYDE, forces=False), labeller.compute(FORMALDEHYDE)
    assert only.forces is None
    assert only.energy == pytest.approx(full.energy, abs=1e-9)


def test_a_single_atom_has_no_force_and_a_molecule_without_valence_electrons_no_correlation():
    assert not make_labeller(level("ccsd/6-31g")).compute(Configuration([1], [[0, 0, 0]], 0, 2)).forces.any()
    with pytest.raises(LabelFailed, match="core electrons"):
        make_labeller(level("mp2/6-31g")).compute(Configuration([13], [[0, 0, 0]], charge=3))


def test_an_engine_that_cannot_compute_the_level_is_refused():
    with pytest.raises(InputError, match="pyscf"):
        make_labeller(level("mp2/6-31g"), "tblite")
