"""The audit believes what nature allows and rejects the rest, with a figure."""

import numpy as np
import pytest

from asteroid.labelling import Result, make_labeller
from asteroid.labelling.attempt import attempt
from asteroid.labelling.audit import audit
from tests.labelling.reference import FORMALDEHYDE, level


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
    import re

    found = audit(level("gfn2-xtb"), FORMALDEHYDE, Result(energy=result.energy, forces=result.forces + change))
    assert found is not None
    assert re.search(reason, found)


def test_an_infinite_energy_is_rejected():
    assert audit(level("gfn2-xtb"), FORMALDEHYDE, Result(energy=np.inf)) == "energy is inf"
