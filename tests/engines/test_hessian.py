"""Analytic second derivatives against finite differences of the forces of the same level."""

import numpy as np
import pytest

from asteroid.chemistry.vibrations import displacements, hessian_from_forces, normal_modes
from asteroid.configuration import Configuration
from asteroid.engines.pyscf.hessian import PROVED, analytic_hessian, has_analytic_hessian
from asteroid.labelling.campaign import label_configurations
from tests.labelling.reference import WATER, WATER_CATION, level

HYDROXYL = Configuration([8, 1], [[0, 0, 0], [0, 0, 0.97]], multiplicity=2)
FLUORIDE = Configuration([9, 1], [[0, 0, 0], [0.3, 0.5, 0.75]])
"""Hydrogen fluoride: twelve displacements of a small molecule, for functionals that differ in a line of a table."""

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
