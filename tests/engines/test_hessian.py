"""Analytic second derivatives against finite differences of the forces of the same level, and those of the dipole."""

import numpy as np
import pytest

from asteroid.chemistry.vibrations import dipole_derivatives, displacements, hessian_from_forces, normal_modes
from asteroid.configuration import Configuration
from asteroid.engines.pyscf.hessian import PROVED, _dipole_derivatives, analytic_hessian, has_analytic_hessian
from asteroid.labelling.campaign import label_configurations
from asteroid.units import BOHR, HARTREE
from asteroid.validation.infrared import intensities
from tests.labelling.reference import WATER, WATER_CATION, level

HYDROXYL = Configuration([8, 1], [[0, 0, 0], [0, 0, 0.97]], multiplicity=2)
FLUORIDE = Configuration([9, 1], [[0, 0, 0], [0.3, 0.5, 0.75]])
"""Hydrogen fluoride: twelve displacements of a small molecule, for functionals that differ in a line of a table."""

AMINO = Configuration([7, 1, 1], [[0, 0, 0.14], [0, 0.8, -0.5], [0.1, -0.8, -0.5]], multiplicity=2)

CASES = [
    ("hf", WATER),
    ("hf", HYDROXYL),
    pytest.param("b3lyp", WATER, marks=pytest.mark.long),
    *(pytest.param(name, FLUORIDE, marks=pytest.mark.long) for name in sorted({*PROVED} - {"hf"})),
    # Not hydroxyl: which of its two degenerate states a functional finds depends on the displacement.
    pytest.param("b3lyp", WATER_CATION, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("method", "molecule"), CASES)
def test_analytic_frequencies_are_those_of_finite_differences(method: str, molecule: Configuration) -> None:
    used = level(f"{method}/6-31g")
    shifted = displacements(molecule)
    labels = {label.frame_id: label for label in label_configurations(shifted, used)}
    numeric = hessian_from_forces([np.array(labels[one.frame_id].forces) for one in shifted])
    analytic = np.array(analytic_hessian(molecule, used)["hessian"])
    ours, theirs = (normal_modes(molecule, second).wavenumbers for second in (analytic, numeric))
    np.testing.assert_allclose(ours, theirs, atol=1.0)


def test_what_is_not_proved_takes_finite_differences() -> None:
    assert has_analytic_hessian(level("b3lyp/def2-svp"))
    for other in ("b3lyp-d3bj/def2-svp", "mp2/cc-pvdz", "ccsd(t)/cc-pvdz", "r2scan/def2-svp", "gfn2-xtb"):
        assert not has_analytic_hessian(level(other))


@pytest.mark.parametrize(
    ("method", "molecule"), [("hf", WATER), ("hf", AMINO), pytest.param("b3lyp", FLUORIDE, marks=pytest.mark.long)]
)
def test_dipole_derivatives_are_those_of_the_dipoles_of_labels(method: str, molecule: Configuration) -> None:
    used = level(f"{method}/6-31g")
    shifted = displacements(molecule)
    labels = {label.frame_id: label for label in label_configurations(shifted, used)}
    numeric = dipole_derivatives([np.array(labels[one.frame_id].dipole) for one in shifted])
    found = analytic_hessian(molecule, used)["dipole_derivatives"]
    # e, of derivatives up to 0.8: both finite differences have errors of order 1e-5.
    np.testing.assert_allclose(found, numeric, atol=1e-4)


def test_an_ion_has_no_dipole_derivatives() -> None:
    assert analytic_hessian(WATER_CATION, level("hf/sto-3g"))["dipole_derivatives"] is None


def test_infrared_intensities_of_water_are_those_that_gaussian_prints() -> None:
    """HF/6-31G(d) with Cartesian d functions: 1826.6, 4070.4 and 4188.8 cm⁻¹; 107.3, 18.2 and 58.1 km/mol."""
    from pyscf import gto, scf

    half, length = np.radians(105.49975814 / 2), 0.94731887  # the minimum at this level
    hydrogen = length * np.array([np.sin(half), 0, np.cos(half)])
    water = Configuration([8, 1, 1], [np.zeros(3), hydrogen, hydrogen * [-1, 1, 1]])
    atoms = list(zip(water.symbols, water.positions, strict=True))
    mean_field = scf.RHF(gto.M(atom=atoms, basis="6-31g*", cart=True, verbose=0)).run(conv_tol=1e-12)
    second = mean_field.Hessian().kernel().transpose(0, 2, 1, 3).reshape(9, 9) * HARTREE / BOHR**2
    modes, slopes = normal_modes(water, second), _dipole_derivatives(mean_field)
    assert slopes is not None
    # Gaussian's masses are those of the commonest isotopes.
    np.testing.assert_allclose(modes.wavenumbers, [1826.6, 4070.4, 4188.8], atol=1.0)
    np.testing.assert_allclose(intensities(modes, slopes), [107.3, 18.2, 58.1], atol=0.2)
