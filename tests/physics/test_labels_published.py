"""Labels against published ones, made by other programs (Cfour, Gaussian, Molpro, ORCA, Psi4, Q-Chem, xtb)."""

import json

import numpy as np
import pytest
from scipy.optimize import brentq

from asteroid.configuration import Configuration
from asteroid.engines import make_labeller
from asteroid.engines.proofs import PROVED
from asteroid.units import BOHR, HARTREE, HARTREE_PER_BOHR
from tests.labelling.reference import MINDLESS, level, reference_file

LONG = pytest.mark.long
"""Left to `make test-all`: what takes long, and functionals that differ from B3LYP in PySCF alone."""


def _around_z(length: float, angle: float, axis: str) -> list[list[float]]:
    """Two atoms at this distance (Å) from the origin and this angle (degrees) to z, either way along an axis."""
    height, offset = length * np.cos(np.radians(angle)), length * np.sin(np.radians(angle))
    return [[s * offset * (axis == "x"), s * offset * (axis == "y"), height] for s in (-1, 1)]


# bohr or Å; the orientation of the published gradients
SUITE = {
    "hf": Configuration([1, 9], np.array([[0, 0, -1.64558411], [0, 0, 0.08729475]]) * BOHR),
    "h2o": Configuration(
        [8, 1, 1],
        np.array([[0, 0, -0.1240388603], [0, -1.431430901356, 0.984293362719], [0, 1.431430901356, 0.984293362719]])
        * BOHR,
    ),
    "nh2": Configuration(
        [7, 1, 1],
        np.array([[0, 0, -0.145912918635], [0, -1.511214298139, 1.013682596946], [0, 1.511214298139, 1.013682596946]])
        * BOHR,
        multiplicity=2,
    ),
    # A doublet cation.
    "bh3p": Configuration(
        [5, 1, 1, 1], [[0, 0, 0.10369114], [0, 0, -1.13269886], [0, -0.37149, 3.0], [0, 0.37149, 3.0]], 1, 2
    ),
    # Iodine has an effective core potential; its 4s and 4p, which that leaves to be treated, are frozen.
    "ch2i": Configuration([6, 53, 1, 1], [[0, 0, 0], [0, 0, 2.10], *_around_z(1.08, -118, "y")], multiplicity=2),
    "ch2i2": Configuration([6, 53, 53, 1, 1], [[0, 0, 0], *_around_z(2.15, 56, "y"), *_around_z(1.09, 56.5, "x")]),
}
BASES = {"hf": "cc-pvdz", "bh3p": "cc-pvdz", "ch2i": "def2-svp", "ch2i2": "def2-svp"}
"""Of the published labels; aug-cc-pvdz for the others."""


def published_labels(system: str, core: str = "fc") -> dict:
    entries = json.loads(reference_file("qc_standard_suite/standard_suite.json").read_text())["suite"]
    wanted = {"system": system, "fcae": core, "reference": "rhf" if SUITE[system].multiplicity == 1 else "uhf"}
    wanted |= {"basis": BASES.get(system, "aug-cc-pvdz"), "corl_type": "conv", "scf_type": "pk"}
    return next(e["data"] for e in entries if wanted.items() <= e["meta"].items())


def assert_published(system: str, method: str, *, core: str, tolerance: float, forces: bool = True) -> None:
    """Our energy (hartree) and gradient (hartree/bohr) are the published ones."""
    published, name = published_labels(system, core), method.upper()
    result = make_labeller(level(f"{method}/{BASES.get(system, 'aug-cc-pvdz')}")).compute(SUITE[system], forces=forces)
    correlation = published.get(f"{name} CORRELATION ENERGY")
    energy = published[f"{name} TOTAL ENERGY"] if correlation is None else published["HF TOTAL ENERGY"] + correlation
    assert result.energy / HARTREE == pytest.approx(energy, abs=tolerance)
    if forces:
        gradient = -result.forces / HARTREE_PER_BOHR
        # Published gradients have seven digits or more; ours are converged to 1e-7.
        assert np.allclose(gradient, published[f"{name} TOTAL GRADIENT"], atol=max(tolerance, 1e-6))


@pytest.mark.parametrize(
    ("system", "method"),
    [
        ("hf", "hf"), ("hf", "mp2"), ("hf", "ccsd"), ("hf", "ccsd(t)"),
        ("h2o", "mp2"), pytest.param("h2o", "ccsd(t)", marks=pytest.mark.slow),
        ("nh2", "hf"), ("nh2", "mp2"), pytest.param("nh2", "ccsd", marks=pytest.mark.slow),
        ("bh3p", "hf"), ("bh3p", "mp2"), ("bh3p", "ccsd"),
    ],
)  # fmt: skip
def test_frozen_core_energies_and_forces_are_the_published_ones(system, method):
    # Published to 1e-8 hartree or better; ours are converged to 1e-9.
    assert_published(system, method, core="fc", tolerance=1e-7)


@pytest.mark.parametrize(
    ("system", "method", "forces"),
    [
        ("ch2i", "hf", True), pytest.param("ch2i", "mp2", True, marks=LONG), ("ch2i2", "mp2", False),
        pytest.param("ch2i", "ccsd(t)", False, marks=LONG),
    ],
)  # fmt: skip
def test_labels_with_core_potentials_are_the_published_ones(system, method, forces):
    # The core potential is integrated numerically, and differently in each program.
    assert_published(system, method, core="fc", tolerance=1e-6, forces=forces)


@pytest.mark.parametrize("system", ["nh2", "bh3p"])
def test_open_shell_triples_energy_is_the_published_one(system):
    assert_published(system, "ccsd(t)", core="fc", tolerance=1e-7, forces=False)


@pytest.mark.parametrize("system", ["hf", "bh3p"])
@pytest.mark.parametrize(
    "functional", ["b3lyp", *(pytest.param(name, marks=LONG) for name in ("pbe", "b3lyp5", "wb97x"))]
)
def test_dft_forces_are_the_published_ones(functional, system):
    # The two programs integrate on different grids.
    assert_published(system, functional, core="ae", tolerance=2e-5)


H2O = np.array([[-1.551007, -0.114520, 0.0], [-1.934259, 0.762503, 0.0], [-0.599677, 0.040712, 0.0]])
"""Å; the water of Psi4's functional benchmarks, ``tests/pytests/test_dft_benchmarks.py``"""
ACCEPTOR = np.array([[1.350625, 0.111469, 0.0], [1.680398, -0.373741, -0.758561], [1.680398, -0.373741, 0.758561]])
H2O_DIMER = np.vstack([H2O, ACCEPTOR])


def energy(text: str, positions: np.ndarray, charge: int = 0) -> float:
    """Of one or two waters, hartree."""
    configuration = Configuration([8, 1, 1] * (len(positions) // 3), positions, charge, 1 + charge)
    return make_labeller(level(text)).compute(configuration, forces=False).energy / HARTREE


@pytest.mark.parametrize(
    ("functional", "ionisation"),
    [
        ("b3lyp", 0.4572870674),
        pytest.param("pbe", 0.4552076767, marks=LONG), pytest.param("blyp", 0.452062348, marks=LONG),
        pytest.param("tpss", 0.4510368445, marks=LONG), pytest.param("pbe0", 0.4530422829, marks=LONG),
        pytest.param("b3lyp5", 0.4535575461, marks=LONG), pytest.param("wb97x", 0.4564711283, marks=LONG),
    ],
)  # fmt: skip
def test_ionisation_energies_of_water_are_those_of_qchem(functional, ionisation):
    # Restricted water, unrestricted cation. All agree to 3e-7, what is left of the two integration grids.
    found = energy(f"{functional}/6-31g", H2O, 1) - energy(f"{functional}/6-31g", H2O)
    assert found == pytest.approx(ionisation, abs=2e-6)


@pytest.mark.parametrize(
    ("text", "binding"), [("blyp/6-31g", -0.0142958198), ("tpss/6-31g", -0.0141667663), ("pbe0/6-31g", -0.0149591069)]
)
@LONG
def test_binding_energies_of_the_water_dimer_are_those_of_qchem(text, binding):
    # An error that is the same for an ion and a molecule would not be seen in an ionisation energy.
    found = energy(text, H2O_DIMER) - energy(text, ACCEPTOR) - energy(text, H2O)
    assert found == pytest.approx(binding, abs=2e-6)


@LONG
def test_wb97m_d3bj_binds_the_water_dimer_as_in_orca():
    text = "wb97m-d3bj/cc-pvdz"
    found = energy(text, H2O_DIMER) - energy(text, ACCEPTOR) - energy(text, H2O)
    assert found == pytest.approx(-0.01351626999, abs=2e-5)


@LONG
def test_wb97m_with_vv10_in_place_of_d3_ionises_water_as_in_qchem():
    # ωB97M-V is the same functional with another dispersion, so that its published numbers prove ours.
    from pyscf import dft, gto
    from pyscf.dispersion.dftd3 import DFTD3Dispersion

    total = []
    for charge in (0, 1):
        atoms = list(zip("OHH", H2O, strict=True))
        system = gto.M(atom=atoms, basis="6-31g", charge=charge, spin=charge, verbose=0)
        field = (dft.UKS if charge else dft.RKS)(system, xc="wb97m-d3bj")
        # The density need not be known well for a number that is second order in it, nor the grid be fine.
        field.disp, field.grids.level, field.conv_tol = None, 1, 1e-6
        field.kernel()
        grid = dft.gen_grid.Grids(system)
        grid.level = 1
        grid.build()
        density = np.reshape(field.make_rdm1(), (-1, *field.mo_coeff.shape[-2:])).sum(axis=0)
        nonlocal_correlation = field._numint.nr_nlc_vxc(system, grid, "wb97m-v", density)[1]
        d3 = float(DFTD3Dispersion(system, "wb97m").get_dispersion()["energy"])
        total.append(energy("wb97m-d3bj/6-31g", H2O, charge) - d3 + nonlocal_correlation)
    assert total[1] - total[0] == pytest.approx(0.4544676075, abs=2e-5)


@LONG
@pytest.mark.parametrize("charge", [0, 1])
def test_r2scan_is_that_of_a_second_library_of_functionals(charge):
    from pyscf import dft, gto

    atoms = list(zip("OHH", H2O, strict=True))
    system = gto.M(atom=atoms, basis="6-31g", charge=charge, spin=charge, verbose=0)
    field = (dft.UKS if charge else dft.RKS)(system)
    field._numint.libxc, field.xc = dft.xcfun, "R2SCANX,R2SCANC"
    field.grids.level = 4
    # The constants of the two libraries differ in their last digits: 3e-7 hartree.
    assert energy("r2scan/6-31g", H2O, charge) == pytest.approx(field.kernel(), abs=2e-6)


def test_dispersion_energies_are_those_of_the_original_program():
    # Ethene and ethyne of the S22 set, Å; Grimme's dftd3 as QCEngine's tests quote it, hartree.
    from pyscf import gto
    from pyscf.dispersion.dftd3 import DFTD3Dispersion

    ethene = [("C", (0, s * 0.667578, -2.124659)) for s in (-1, 1)]
    ethene += [("H", (x * 0.923621, y * 1.232253, -2.126185)) for x in (-1, 1) for y in (-1, 1)]
    ethyne = [("C", (0, 0, 2.900503)), ("C", (0, 0, 1.693240)), ("H", (0, 0, 0.627352)), ("H", (0, 0, 3.963929))]
    system = gto.M(atom=ethene + ethyne, verbose=0)
    for functional, published in (("b3lyp", -0.00784595), ("pbe", -0.00475937)):
        found = float(DFTD3Dispersion(system, functional).get_dispersion()["energy"])
        assert found == pytest.approx(published, abs=1e-8)


def test_dispersion_of_each_functional_has_its_published_parameters():
    # For two equal atoms E = −s6 C6/(r⁶+f⁶) − s8 C8/(r⁸+f⁸) with f = a1 √(C8/C6) + a2 (doi 10.1002/jcc.21759); two
    # argon atoms are one number a functional for two unknowns that all share, C6 and C8.
    # a1, s8 and a2 (bohr) from doi 10.1002/jcc.21759, 10.1063/5.0041008 (r2SCAN) and 10.1021/acs.jctc.8b00842 (ωB97M).
    published = {
        "hf": (0.3385, 0.9171, 2.8830), "pbe": (0.4289, 0.7875, 4.4407), "blyp": (0.4298, 2.6996, 4.2359),
        "tpss": (0.4535, 1.9435, 4.4752), "r2scan": (0.49484001, 0.78981345, 5.73083694),
        "pbe0": (0.4145, 1.2177, 4.8593), "b3lyp": (0.3981, 1.9889, 4.4211), "wb97m": (0.5660, 0.3908, 3.1280),
    }  # fmt: skip
    assert {*published} | {"b3lyp5"} == {
        p.method.removeprefix("coarse-").removeprefix("df-") for p in PROVED if p.dispersion
    }
    from pyscf import gto
    from pyscf.dispersion.dftd3 import DFTD3Dispersion

    r = 7.0
    argon = gto.M(atom=[("Ar", (0, 0, 0)), ("Ar", (0, 0, r))], unit="Bohr", verbose=0)
    # C6 of Ar–Ar as published with D3 (doi 10.1063/1.3382344), hartree bohr⁶; √(C8/C6) from PBE alone.
    c6 = 64.6462

    def dispersion(radius: float, a1: float, s8: float, a2: float) -> float:
        f = a1 * radius + a2
        return -c6 / (r**6 + f**6) - s8 * c6 * radius**2 / (r**8 + f**8)

    found = {name: float(DFTD3Dispersion(argon, name).get_dispersion()["energy"]) for name in published}
    radius = brentq(lambda radius: dispersion(radius, *published["pbe"]) - found["pbe"], 3.0, 9.0)
    for name, parameters in published.items():
        assert found[name] == pytest.approx(dispersion(radius, *parameters), abs=1e-9)


def test_b3lyp5_is_the_b3lyp_of_orca():
    data = np.load(reference_file("h2co_b3lyp_ccf12/h2co_B3LYP_cc-pVDZ_4001.npz"))
    frame, atoms = 7, int(data["N"][7])
    configuration = Configuration(data["Z"][frame, :atoms], data["R"][frame, :atoms])
    result = make_labeller(level("b3lyp5/cc-pvdz")).compute(configuration)
    # ORCA's grid; the other B3LYP, with VWN3, is off by several times as much.
    assert np.allclose(result.forces, data["F"][frame, :atoms], atol=2e-3)


FREE_ATOMS = {
    "mp2": {1: -0.499821176024, 6: -37.759560677467, 8: -74.959294141352},
    "ccsd(t)": {1: -0.499821176024, 6: -37.781729036374, 8: -74.978822592569},
}
"""hartree, by atomic number: what the energies of Molpro are published relative to."""


@pytest.mark.parametrize(
    ("method", "file"),
    [("mp2", "mp2"), ("ccsd(t)", "cc")],
)
@LONG
def test_labels_in_a_large_basis_are_those_of_molpro(method, file, monkeypatch):
    from pyscf import gto

    # Of which what this process has loaded for other tests is taken.
    monkeypatch.setattr(gto.mole.MoleBase, "max_memory", 8000)
    data = np.load(reference_file(f"ch2o_vpt2/ch2o_{file}_avtz_3601.npz"))
    frame, atoms = 11, int(data["N"][11])
    configuration = Configuration(data["Z"][frame, :atoms], data["R"][frame, :atoms])
    result = make_labeller(level(f"{method}/aug-cc-pvtz")).compute(configuration)
    free = sum(FREE_ATOMS[method][int(z)] for z in configuration.numbers) * HARTREE
    # The constants of hartree in eV differ by 1e-8: 3e-5 eV of the energy of the atoms.
    assert result.energy - free == pytest.approx(data["E"][frame], abs=1e-4)
    assert np.allclose(result.forces, data["F"][frame, :atoms], atol=1e-4)


@LONG
def test_pbe_d3bj_is_that_of_orca():
    from ase.io import read

    atoms = read(reference_file("acetylacetone/test_MD_300K.xyz"), index=0)
    result = make_labeller(level("pbe-d3bj/def2-svp")).compute(Configuration.from_atoms(atoms))
    # ORCA fits the density (RI-J) and integrates on its own grid.
    assert np.abs(result.forces - atoms.get_forces()).mean() < 2e-3


@pytest.mark.parametrize(
    ("method", "atom", "charge", "multiplicity", "published"),
    [
        ("gfn1-xtb", 6, 0, 1, -1.7411359557542052), ("gfn1-xtb", 7, 0, 2, -2.8988862104065958),
        ("gfn1-xtb", 8, 1, 2, -3.3929027848641802), ("gfn1-xtb", 9, -1, 1, -5.3222970343111768),
        ("gfn2-xtb", 6, 0, 1, -1.7951105194038208), ("gfn2-xtb", 7, 0, 2, -2.6094524546320614),
        ("gfn2-xtb", 8, 1, 2, -2.9485380631567804), ("gfn2-xtb", 9, -1, 1, -4.9096355171858255),
    ],
)  # fmt: skip
def test_semiempirical_atoms_and_ions_are_those_of_tblite_s_own_tests(method, atom, charge, multiplicity, published):
    # hartree; test/unit/test_gfn1_xtb.f90 and test_gfn2_xtb.f90, which take them to 1.5e-8.
    result = make_labeller(level(method), "tblite").compute(Configuration([atom], [[0, 0, 0]], charge, multiplicity))
    assert result.energy / HARTREE == pytest.approx(published, abs=1e-7)


@pytest.mark.parametrize("engine", ["tblite", "xtb"])
@pytest.mark.parametrize(("method", "published"), [("gfn1-xtb", -33.63768565903155), ("gfn2-xtb", -31.716159156026254)])
def test_semiempirical_energies_of_a_mindless_molecule_are_the_published_ones(method, published, engine):
    # hartree; xtb-python's tests, and the documentation of tblite, whose default accuracy converges charges to 1e-6.
    result = make_labeller(level(method), engine).compute(MINDLESS)
    assert result.energy / HARTREE == pytest.approx(published, abs=1e-6)


def test_gfn_ff_energy_is_that_of_xtb_s_own_tests():
    # hartree and bohr; xtb's TESTSUITE/gfnff.f90. The energy of xtb-python's library is converged to what it prints.
    positions = [
        [1.50040286526241, -2.88219140061585, 0.0], [0.0, 1.90142164792207, 0.0],
        [-0.02649585010919, -5.05651406856634, 0.0], [-1.39762821979929, 4.65236211997835, 0.0],
        [2.62205170116282, -3.14316635901963, 1.53958066744940],
        [-1.46489869067775, 0.78885483581631, 1.94964934855945],
        [2.62205170116282, -3.14316635901963, -1.53958066744940],
        [-1.46489869067775, 0.78885483581631, -1.94964934855945],
    ]  # fmt: skip
    molecule = Configuration([7, 15, 9, 9, 1, 1, 1, 1], np.array(positions) * BOHR)
    result = make_labeller(level("gfn-ff")).compute(molecule)
    assert result.energy / HARTREE == pytest.approx(-0.76480130317838, abs=1e-6)
    gradient = np.linalg.norm(result.forces / HARTREE_PER_BOHR)
    assert gradient == pytest.approx(0.06237477492373, abs=1e-5)
