"""Labels computed again: good ones pass, and each kind of wrong number is found, with the figure."""

import dataclasses

import numpy as np
import pytest

from asteroid.engines import make_labeller
from asteroid.labelling.spot_check import FORCE_TOLERANCE, spot_check
from tests.labelling.reference import FORMALDEHYDE, PEROXYL, WATER, attempt, level

GFN2 = level("gfn2-xtb")


def labelled(text, *molecules, engine=None, forces=True):
    labeller = make_labeller(level(text), engine)
    return [(m, attempt(labeller, m, forces=forces)) for m in molecules]


def changed(pair, **changes):
    return pair[0], dataclasses.replace(pair[1], **changes)


def test_good_labels_pass_whatever_program_made_them():
    seen = []
    pairs = labelled("gfn2-xtb", FORMALDEHYDE, PEROXYL) + labelled("gfn2-xtb", WATER, engine="xtb")
    checks = spot_check(pairs, GFN2, on_progress=lambda done, total: seen.append((done, total)))
    assert [c.frame_id for c in checks] == [m.frame_id for m, _ in pairs]
    assert all(c.reason is None for c in checks)
    # Charges converged to 1e-8 and a step of 5e-3 Å leave less than this.
    assert max(c.force_error for c in checks) < 1e-5
    assert max(c.energy_error for c in checks) < 1e-8
    assert seen[-1] == (15, 15)


def test_a_wrong_energy_is_found():
    (pair,) = labelled("gfn2-xtb", WATER)
    (check,) = spot_check([changed(pair, energy=pair[1].energy + 0.01)], GFN2)
    assert check.reason == "energy is off by 0.01 eV when computed again, at most 0.0001 expected"


@pytest.mark.parametrize(
    "wrong",
    [lambda f: -f, lambda f: f[::-1], lambda f: f + 0.01 * np.arange(9).reshape(3, 3)],
    ids=["sign", "order", "term"],
)
def test_wrong_forces_are_found(wrong):
    (pair,) = labelled("gfn2-xtb", WATER)
    (check,) = spot_check([changed(pair, forces=wrong(pair[1].forces))], GFN2)
    assert check.force_error > FORCE_TOLERANCE
    assert check.reason.startswith("forces differ from the finite difference of energies by")


def test_an_energy_alone_is_checked_by_its_energy():
    (check,) = spot_check(labelled("gfn2-xtb", WATER, forces=False), GFN2)
    assert (check.force_error, check.reason) == (None, None)
    assert check.energy_error < 1e-8


def test_the_force_field_passes_between_its_jumps():
    (check,) = spot_check(labelled("gfn-ff", FORMALDEHYDE), level("gfn-ff"))
    assert check.reason is None


def test_labels_from_quantum_chemistry_pass():
    # Converged to 1e-9 hartree: 3e-8 eV over a step of 5e-3 Å, and what the formula leaves.
    (check,) = spot_check(labelled("mp2/6-31g", FORMALDEHYDE), level("mp2/6-31g"))
    assert check.reason is None
    assert check.force_error < 1e-4
