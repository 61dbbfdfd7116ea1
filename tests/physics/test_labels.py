"""Every label that asteroid offers: forces are derivatives of energies, and space has no preferred direction."""

import numpy as np
import pytest
from _pytest.mark.structures import ParameterSet

from asteroid.configuration import Configuration
from asteroid.engines import check_supported, engines_for, make_labeller
from asteroid.engines.proofs import PROVED, Proof
from asteroid.errors import InputError
from asteroid.levels import CORE_POTENTIAL, METHODS, LevelOfTheory
from tests.labelling.reference import (
    CATION,
    FORMALDEHYDE,
    HYDROGEN_IODIDE,
    HYDROXIDE,
    HYPOIODOUS,
    IODOMETHYL,
    PEROXYL,
    WATER,
    WATER_CATION,
    force_error,
    level,
)
from tests.marks import mostly_long

# SCF, amplitudes and lambda are converged to 1e-7 hartree/bohr and the fourth-order formula is good to 1e-6 eV/Å, so
# that wrong terms, which were 1e-2 eV/Å and more where we met them, stand out by far.
TOLERANCE = 1e-5


def molecules(proof: Proof) -> list[Configuration]:
    """What a row of the table is tried on: neutral and charged as far as it goes, small where the method is dear."""
    if METHODS[proof.method].family == "dft":
        # A functional is proved on a neutral singlet and on a doublet cation; ions and spin meet in the same matrices.
        return [WATER] if proof.reference == "restricted" else [WATER_CATION]
    if proof.reference == "restricted":
        return [FORMALDEHYDE, HYDROXIDE] if proof.charged else [FORMALDEHYDE]
    return [PEROXYL, CATION] if METHODS[proof.method].family == "semiempirical" else [PEROXYL, WATER_CATION]


def text(proof: Proof) -> str:
    """The level of a row, in a basis set that is small enough for a test."""
    basis = {"semiempirical": None, "dft": "sto-3g"}.get(METHODS[proof.method].family, "6-31g")
    return str(LevelOfTheory(proof.method, proof.dispersion, basis))


def has_dispersed_twin(proof: Proof) -> bool:
    """Whether the same functional is proved together with its dispersion: the correction adds, its forces do, too."""
    return proof.dispersion is None and bool(METHODS[proof.method].dispersions) and proof.method not in ("hf", "df-hf")


def row(proof: Proof) -> ParameterSet:
    """One row to be proved; functionals that differ from B3LYP in PySCF alone are left to `make test-all`."""
    other = METHODS[proof.method].family == "dft" and proof.method not in ("b3lyp", "df-b3lyp", "coarse-df-b3lyp")
    return pytest.param(
        proof, marks=pytest.mark.long if other or str(proof) == "ccsd restricted" else (), id=str(proof)
    )


@pytest.mark.parametrize("proof", [row(p) for p in PROVED if p.forces and not has_dispersed_twin(p)])
def test_forces_are_minus_the_finite_difference_of_energy(proof):
    for engine in engines_for(level(text(proof))):
        # The energy of GFN-FF jumps by 1e-4 eV where its topology charges change; a short step meets no jump here.
        step = 2e-4 if proof.method == "gfn-ff" else 2e-3
        for molecule in molecules(proof):
            assert force_error(text(proof), molecule, engine=engine, step=step) < TOLERANCE


@pytest.mark.parametrize("proof", [row(p) for p in PROVED if has_dispersed_twin(p) and p.reference == "restricted"])
def test_dispersion_adds_to_a_functional_without_touching_it(proof):
    # It sees nuclei and no electrons, so what holds for one spin holds for the other.
    from pyscf import gto
    from pyscf.dispersion.dftd3 import DFTD3Dispersion

    from asteroid.units import BOHR, HARTREE, HARTREE_PER_BOHR

    (molecule,) = molecules(proof)
    plain = make_labeller(level(text(proof))).compute(molecule)
    dispersed = make_labeller(LevelOfTheory(proof.method, "d3bj", "sto-3g")).compute(molecule)
    atoms = list(zip(molecule.symbols, molecule.positions / BOHR, strict=True))
    system = gto.M(atom=atoms, unit="Bohr", charge=molecule.charge, spin=molecule.multiplicity - 1, verbose=0)
    functional = proof.method.removeprefix("coarse-").removeprefix("df-")
    functional = {"b3lyp5": "b3lyp"}.get(functional, functional)
    correction = DFTD3Dispersion(system, functional).get_dispersion(grad=True)
    assert dispersed.energy - plain.energy == pytest.approx(float(correction["energy"]) * HARTREE, abs=1e-7)
    expected = -correction["gradient"] * HARTREE_PER_BOHR
    assert np.allclose(dispersed.forces - plain.forces, expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("method", "molecule"),
    [
        ("hf", HYPOIODOUS),
        ("df-mp2", HYDROGEN_IODIDE),
        ("ccsd(t)", HYDROGEN_IODIDE),
        *(pytest.param(*case, marks=pytest.mark.long) for case in (
            ("mp2", HYPOIODOUS), ("mp2", IODOMETHYL), ("df-mp2", IODOMETHYL), ("ccsd", HYDROGEN_IODIDE),
            ("pbe-d3bj", HYDROGEN_IODIDE),
        )),
    ],
)  # fmt: skip
def test_forces_with_core_potentials_are_minus_the_finite_difference_of_energy(method, molecule):
    assert force_error(f"{method}/def2-svp", molecule) < TOLERANCE


@pytest.mark.parametrize("number", mostly_long(sorted(CORE_POTENTIAL), quick=[38, 53]))
def test_every_element_with_a_core_potential_has_the_forces_of_its_energy(number):
    # Its hydride, distorted: RbH, SrH2, InH, SnH2, SbH3, TeH2, HI and XeH+.
    hydrogens = {37: 1, 38: 2, 49: 1, 50: 2, 51: 3, 52: 2, 53: 1, 54: 1}[number]
    ends = [[1.7, 0.2, 0.1], [-0.4, 1.6, 0.3], [0.1, -0.5, 1.65]][:hydrogens]
    hydride = Configuration([number] + [1] * hydrogens, [[0, 0, 0], *ends], charge=int(number == 54))
    assert force_error("hf/def2-svp", hydride) < TOLERANCE


@pytest.mark.long
def test_forces_in_a_larger_basis_are_minus_the_finite_difference_of_energy():
    assert force_error("ccsd(t)/cc-pvdz", FORMALDEHYDE) < TOLERANCE


@pytest.mark.long
def test_energies_of_a_radical_with_soft_orbital_rotations_have_the_slope_of_its_forces():
    assert force_error("mp2/cc-pvtz", PEROXYL) < TOLERANCE


def rotation(seed: int) -> np.ndarray:
    """A random proper rotation."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]]


@pytest.mark.parametrize(
    ("text", "engine", "tolerance"),
    [
        ("gfn2-xtb", "tblite", 1e-6),
        ("gfn2-xtb", "xtb", 1e-5),
        ("gfn-ff", "xtb", 1e-6),
        ("hf/6-31g", None, 1e-5),
        ("mp2/6-31g", None, 1e-5),
        # The integration grid is fixed to the axes: its noise is all that is left.
        ("pbe0/6-31g", None, 5e-4),
    ],
)
def test_energy_is_invariant_and_forces_turn_with_the_molecule(text, engine, tolerance):
    labeller, turn = make_labeller(level(text), engine), rotation(3)
    first = labeller.compute(FORMALDEHYDE)
    moved = labeller.compute(FORMALDEHYDE.with_positions(FORMALDEHYDE.positions @ turn.T + [5.0, -3.0, 2.0]))
    assert moved.energy == pytest.approx(first.energy, abs=tolerance)
    assert np.allclose(moved.forces, first.forces @ turn.T, atol=tolerance)
    # A neutral molecule's dipole does not depend on the origin. Its error is of first order in that of the density.
    assert np.allclose(moved.dipole, first.dipole @ turn.T, atol=10 * tolerance)


def test_what_can_be_written_is_in_the_table_of_proofs():
    for name, method in METHODS.items():
        for dispersion in (None, *method.dispersions) if not method.dispersion_required else method.dispersions:
            assert any(p.method == name and p.dispersion == dispersion for p in PROVED), name


def test_what_is_not_proved_is_refused_and_the_nearest_proved_level_named():
    triples = level("ccsd(t)/6-31g")
    with pytest.raises(InputError, match="write ccsd/6-31g, or ask for energies only"):
        check_supported(triples, charge=0, multiplicity=2)
    check_supported(triples, charge=0, multiplicity=2, forces=False)
    for charge, multiplicity in ((0, 2), (1, 1)):
        with pytest.raises(InputError, match="write gfn2-xtb"):
            check_supported(level("gfn-ff"), charge=charge, multiplicity=multiplicity)
