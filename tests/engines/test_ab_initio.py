"""PySCF labels: what a result says, the check against PySCF alone, quietness and the cases that are refused."""

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.engines import make_labeller
from asteroid.engines.pyscf import ab_initio
from asteroid.errors import InputError, LabelFailed
from asteroid.store.rows import attempts_to_table, table_to_attempts
from tests.labelling.reference import FORMALDEHYDE, PEROXYL, attempt, level


def checked_frame(configuration):
    """The same molecule, moved to a place where its id draws the check."""
    for step in range(10_000):
        moved = configuration.with_positions(configuration.positions + 0.001 * step)
        if ab_initio.is_checked(moved):
            return moved
    raise AssertionError("one frame in 200 is checked")


@pytest.mark.parametrize("text", ["mp2/sto-3g", "ccsd(t)/sto-3g", pytest.param("pbe/sto-3g", marks=pytest.mark.long)])
def test_a_label_in_many_is_compared_with_pyscf_alone_and_its_difference_kept(text):
    labeller = make_labeller(level(text))
    result = labeller.compute(checked_frame(FORMALDEHYDE))
    # Ten times less than what is allowed: both stop at the same thresholds.
    assert 0 <= result.check_error < 1e-5
    assert labeller.compute(FORMALDEHYDE).check_error is None
    kept = attempt(labeller, checked_frame(FORMALDEHYDE))
    assert table_to_attempts(attempts_to_table([kept]))[0].check_error == kept.check_error < 1e-5


def test_one_frame_in_two_hundred_is_checked():
    drawn = sum(
        ab_initio.is_checked(FORMALDEHYDE.with_positions(FORMALDEHYDE.positions + 1e-4 * step))
        for step in range(20_000)
    )
    # Binomial: 100 ± 10.
    assert 60 < drawn < 140


def test_where_the_check_fails_the_label_is_that_of_pyscf_alone(monkeypatch):
    frame, labeller = checked_frame(FORMALDEHYDE), make_labeller(level("ccsd/sto-3g"))
    expected = labeller._compute(frame, True, ab_initio.plain_method(labeller.level))
    # A fast path gone wrong: the gradient of another method.
    monkeypatch.setitem(ab_initio._FAST, "ccsd", ab_initio._FAST["mp2"])
    result = labeller.compute(frame)
    assert result.check_error > ab_initio.ALLOWANCE
    assert np.array_equal(result.forces, expected.forces)
    assert result.energy == expected.energy


def test_a_result_tells_its_geometry_and_how_pure_its_spin_is():
    doublet, singlet = (make_labeller(level("hf/sto-3g")).compute(c) for c in (PEROXYL, FORMALDEHYDE))
    # An exact doublet has 0.75; an unrestricted determinant a little more.
    assert 0.75 <= doublet.spin_square < 0.8
    assert singlet.spin_square is None
    assert np.allclose(singlet.positions, FORMALDEHYDE.positions, atol=1e-12)


def test_energies_alone_have_no_check_to_pay_for():
    result = make_labeller(level("mp2/sto-3g")).compute(checked_frame(FORMALDEHYDE), forces=False)
    assert result.check_error is None


def test_settings_that_change_numbers_change_the_hash(monkeypatch):
    before = make_labeller(level("mp2/sto-3g")).settings
    monkeypatch.setitem(ab_initio.SETTINGS, "response", 1e-6)
    assert make_labeller(level("mp2/sto-3g")).settings != before


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
