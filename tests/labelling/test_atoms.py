"""Free atoms against published energies."""

import pytest

from asteroid.labelling.atoms import free_atom, ground_state_multiplicity
from asteroid.levels import LevelOfTheory
from asteroid.units import HARTREE

PUBLISHED = {
    # Gaussian 09 and ORCA, unrestricted and with a frozen core, hartree: HF, MP2 and CCSD(T) in cc-pVDZ.
    "H": (-0.4992784, -0.4992784, -0.4992784),
    "C": (-37.6865444, -37.7383097, -37.7603771),
    "O": (-74.7921661, -74.8941316, -74.9099503),
    "Cl": (-459.4711433, -459.5809419, -459.5988927),
}
NUMBERS = {"H": 1, "C": 6, "O": 8, "Cl": 17}


def hartree(level: str, number: int) -> float:
    record = free_atom(LevelOfTheory.parse(level), number)
    assert record.energy is not None
    return record.energy / HARTREE


@pytest.mark.parametrize("symbol", PUBLISHED)
def test_free_atoms_have_their_published_energies(symbol: str) -> None:
    # 5e-6 hartree: the two programs differ by as much among themselves, and CCSD(T)'s amplitudes converge to that.
    levels = ("hf/cc-pvdz", "mp2/cc-pvdz", "ccsd(t)/cc-pvdz")
    found = [hartree(level, NUMBERS[symbol]) for level in levels]
    assert found == pytest.approx(PUBLISHED[symbol], abs=5e-6)


def test_several_guesses_find_the_ground_state_of_an_atom_where_one_does_not() -> None:
    # From PySCF's default guess UHF ends in an excited state of manganese, 0.14 hartree above the ground state.
    from pyscf import gto, scf

    alone = scf.UHF(gto.M(atom="Mn", basis="def2-svp", spin=5, verbose=0)).run()
    assert hartree("hf/def2-svp", 25) < alone.e_tot - 0.1


def test_density_functionals_have_their_published_atom() -> None:
    # ORCA: -75.0668858 on its default grid and with the local correlation of b3lyp5; 2e-4 for that grid.
    assert hartree("b3lyp5/def2-tzvp", 8) == pytest.approx(-75.0668858, abs=2e-4)


def test_a_level_without_empty_orbitals_has_no_correlation_and_no_error() -> None:
    assert hartree("ccsd(t)/sto-3g", 7) == pytest.approx(hartree("hf/sto-3g", 7), abs=1e-9)


@pytest.mark.parametrize(("level", "number", "published"), [("gfn2-xtb", 8, -3.7676076), ("gfn1-xtb", 1, -0.4014295)])
def test_semiempirical_atoms_have_the_unpaired_electrons_of_their_ground_state(
    level: str, number: int, published: float
) -> None:
    # tblite's own tests of the periodic table, hartree.
    assert hartree(level, number) == pytest.approx(published, abs=1e-6)


@pytest.mark.parametrize("level", ["hf/def2-svp", "gfn2-xtb"])
def test_multiplicities_suit_the_electrons_of_every_element(level: str) -> None:
    parsed = LevelOfTheory.parse(level)
    for number in range(1, 87 if parsed.is_semiempirical else 55):
        electrons = 3 if parsed.is_semiempirical and 57 <= number <= 71 else number
        assert (ground_state_multiplicity(number, parsed) - 1 - electrons) % 2 == 0, number


def test_an_atom_that_cannot_be_computed_is_a_record_with_its_reason() -> None:
    record = free_atom(LevelOfTheory.parse("hf/6-31g*"), 53)  # which has no functions for iodine
    assert record.energy is None
    assert record.reason
