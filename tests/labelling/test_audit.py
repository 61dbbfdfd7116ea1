"""The audit believes what nature allows and rejects the rest, with a figure."""

import re

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.engines import Result, make_labeller
from asteroid.labelling.audit import audit
from tests.labelling.reference import FORMALDEHYDE, PEROXYL, attempt, level


def test_a_real_label_passes():
    assert attempt(make_labeller(level("gfn2-xtb")), FORMALDEHYDE).status == "ok"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (np.full((4, 3), 0.1), "net force 0.173 eV/Å"),
        # A couple: no net force, but it turns the molecule.
        (np.array([[0, 0.2, 0], [0, -0.2, 0], [0, 0, 0], [0, 0, 0]]), "net torque"),
        (np.full((4, 3), np.nan), "forces are not finite"),
        (np.array([[0, 2e3, 0], [0, -2e3, 0], [0, 0, 0], [0, 0, 0]]), "force of 2e\\+03"),
    ],
)
def test_forces_that_no_potential_can_have_are_rejected(change, reason):
    result = make_labeller(level("gfn2-xtb")).compute(FORMALDEHYDE)
    assert audit(level("gfn2-xtb"), FORMALDEHYDE, result) is None
    found = audit(level("gfn2-xtb"), FORMALDEHYDE, Result(energy=result.energy, forces=result.forces + change))
    assert found is not None
    assert re.search(reason, found)


def test_an_infinite_energy_is_rejected():
    assert audit(level("gfn2-xtb"), FORMALDEHYDE, Result(energy=np.inf)) == "energy is inf"


def test_a_label_of_another_geometry_is_rejected():
    moved = FORMALDEHYDE.positions + np.array([[0, 0, 1e-6], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert audit(level("hf/sto-3g"), FORMALDEHYDE, Result(energy=-1.0, positions=FORMALDEHYDE.positions)) is None
    found = audit(level("hf/sto-3g"), FORMALDEHYDE, Result(energy=-1.0, positions=moved))
    assert found == "computed for another geometry: an atom is off by 1e-06 Å"


OXYGEN = Configuration([8, 8], [[0, 0, 0], [0, 0, 1.21]], multiplicity=3)
CYANO = Configuration([6, 7], [[0, 0, 0], [0, 0, 1.17]], multiplicity=2)


@pytest.mark.parametrize(
    ("radical", "method", "contaminated"),
    [
        (PEROXYL, "mp2", False), (OXYGEN, "mp2", False), (PEROXYL, "pbe", False), (CYANO, "pbe", False),
        # UHF mixes quartets into CN, which MP2 builds on and coupled cluster repairs.
        (CYANO, "mp2", True), (CYANO, "ccsd", False),
    ],
)  # fmt: skip
def test_spin_contamination_is_rejected_where_the_method_cannot_bear_it(radical, method, contaminated):
    found = attempt(make_labeller(level(f"{method}/6-31g")), radical, forces=False)
    assert found.status == ("rejected" if contaminated else "ok")
    assert not contaminated or re.fullmatch(r"<S\^2> is 1\.\d+, 0\.75 ± 0\.3 expected", found.reason)
