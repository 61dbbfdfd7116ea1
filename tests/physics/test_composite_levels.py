"""Composite levels: energies and forces against PySCF's own, finite differences, and published ones of Psi4."""

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.engines import check_supported, make_labeller
from asteroid.errors import InputError
from asteroid.levels import LevelOfTheory
from asteroid.units import HARTREE, HARTREE_PER_BOHR
from tests.labelling.reference import PEROXYL, WATER, force_error, level

TOLERANCE = 1e-5
"""eV/Å, as for the parts in ``test_labels.py``; their weights add up to less than four."""


def in_pyscf(configuration: Configuration, basis: str) -> tuple[float, float, float]:
    """Energies of Hartree-Fock, MP2 and CCSD(T) with a frozen core, hartree, by PySCF alone."""
    from pyscf import cc, gto, mp, scf

    atoms = list(zip(configuration.symbols, configuration.positions.tolist(), strict=True))
    molecule = gto.M(atom=atoms, basis=basis, verbose=0)
    reference = scf.RHF(molecule).run(conv_tol=1e-11)
    core = sum(z > 2 for z in configuration.numbers)
    second = mp.MP2(reference, frozen=core).run()
    coupled = cc.CCSD(reference, frozen=core).run(conv_tol=1e-9)
    return reference.e_tot, second.e_tot, coupled.e_tot + coupled.ccsd_t()


def test_the_energy_is_that_put_together_by_hand() -> None:
    small, large = in_pyscf(WATER, "cc-pvdz"), in_pyscf(WATER, "cc-pvtz")
    expected = {
        "mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz": large[1] + small[2] - small[1],
        # Correlation energies E(X) = E + A / X³, the Hartree-Fock energy of the larger basis set.
        "ccsd(t)/cbs(d,t)": large[0] + (27 * (large[2] - large[0]) - 8 * (small[2] - small[0])) / 19,
    }
    expected["mp2/cbs(d,t) + ccsd(t)/cc-pvdz - mp2/cc-pvdz"] = (
        large[0] + (27 * (large[1] - large[0]) - 8 * (small[1] - small[0])) / 19 + small[2] - small[1]
    )
    for name, energy in expected.items():
        found = make_labeller(level(name)).compute(WATER, forces=False)
        # Each part is converged to 1e-9 hartree.
        assert found.energy / HARTREE == pytest.approx(energy, abs=1e-8)


@pytest.mark.parametrize(
    "name",
    ["mp2/6-31g + ccsd(t)/sto-3g - mp2/sto-3g", pytest.param("mp2/cbs(d,t)", marks=pytest.mark.slow)],
)
def test_forces_are_minus_the_finite_difference_of_energy(name: str) -> None:
    assert force_error(name, WATER) < TOLERANCE


def test_forces_of_an_extrapolation_are_the_published_ones() -> None:
    # Psi4, tests/cbs-xtpl-gradient: He2 at 1.8 Å, MP2/cc-pV[DT]Z, gradient of the first atom in hartree/bohr.
    published = 0.01155124
    helium = Configuration([2, 2], [[0, 0, 0], [0, 0, 1.8]])
    forces = make_labeller(level("mp2/cbs(d,t)")).compute(helium).forces
    assert forces is not None
    gradient = -forces / HARTREE_PER_BOHR
    # Printed to 1e-8; both programs converge gradients to 1e-7 or better.
    np.testing.assert_allclose(gradient, [[0, 0, published], [0, 0, -published]], atol=1e-7)


def test_every_part_must_be_proved() -> None:
    composite = LevelOfTheory.parse("mp2/cc-pvtz + ccsd(t)/cc-pvdz - mp2/cc-pvdz")
    check_supported(composite, charge=0, multiplicity=1)
    asked = {"charge": 0, "multiplicity": PEROXYL.multiplicity}
    with pytest.raises(InputError, match=r"'ccsd\(t\)/cc-pvdz': forces .* are not proved"):
        check_supported(composite, **asked)
    check_supported(composite, **asked, forces=False)
