"""Dipole models on MACE models with random weights, fitted to dipoles of GFN1-xTB (cheap) and GFN2-xTB (accurate)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule
from scipy.spatial.transform import Rotation

from asteroid.chemistry.vibrations import dipole_derivatives, displacements
from asteroid.configuration import Configuration
from asteroid.errors import InputError, TrainingError
from asteroid.manifest import ModelSettings
from asteroid.store import Store, records
from asteroid.store.records import DipoleModel
from asteroid.training.calculator import ModelCalculator
from asteroid.training.dipoles import FEWEST, Dipoles, constant_charge_dipoles, fit_dipoles, predict_dipoles
from asteroid.training.model import build_model
from asteroid.training.predict import _features_any, node_features
from tests.training.conftest import run_tblite

METHANOL = Configuration.from_atoms(molecule("CH3OH"))
ROUNDING = 1e-9
"""e·Å"""


def module(**changes: int) -> torch.nn.Module:
    size = {"channels": 8, "max_l": 1, "max_ell": 2, "correlation": 2, "radial": 4, **changes}
    settings = ModelSettings(**size, r_max=4.0)
    return build_model([1, 6, 8], settings, scale=1.0, avg_num_neighbors=5.0, seed=3, dtype=torch.float64)


@pytest.fixture(scope="module")
def labelled() -> tuple[Dipoles, Dipoles]:
    """60 distorted methanols at the accurate and at the cheap level."""
    positions = METHANOL.positions + np.random.default_rng(1).normal(0, 0.06, (60, 6, 3))
    found = run_tblite(METHANOL.numbers.tolist(), positions)
    configurations = [METHANOL.with_positions(one) for one in positions]
    accurate, cheap = (Dipoles(configurations, np.array(found[f"GFN{n}-xTB"]["dipole"])) for n in (2, 1))
    return accurate, cheap


def part(dipoles: Dipoles, which: slice) -> Dipoles:
    return Dipoles(dipoles.configurations[which], dipoles.values[which])


@pytest.fixture(scope="module")
def fitted(labelled: tuple[Dipoles, Dipoles]) -> tuple[torch.nn.Module, DipoleModel]:
    accurate, cheap = labelled
    mace = module()
    return mace, fit_dipoles(mace, part(accurate, slice(15)), part(cheap, slice(40)), model_id="a", level="gfn2-xtb")


def test_few_accurate_dipoles_with_many_cheap_ones_beat_either_and_constant_charges(
    labelled: tuple[Dipoles, Dipoles], fitted: tuple[torch.nn.Module, DipoleModel]
) -> None:
    (accurate, cheap), (mace, model) = labelled, fitted
    few, test = part(accurate, slice(15)), part(accurate, slice(40, 60))

    def error(found: np.ndarray) -> float:
        return float(np.abs(found - test.values).mean())

    alone = fit_dipoles(mace, few, None, model_id="a", level="gfn2-xtb")
    errors = {
        "both": error(predict_dipoles(mace, model, test.configurations)),
        "accurate": error(predict_dipoles(mace, alone, test.configurations)),
        "cheap": error(cheap.values[40:]),
        "charges": error(constant_charge_dipoles(few, test.configurations)),
    }
    assert (model.labels, model.cheap_labels, alone.cheap_labels) == (15, 40, 0)
    assert errors["both"] < 0.7 * min(errors["accurate"], errors["cheap"], errors["charges"])
    # Of a mean component of 0.2 e·Å.
    assert errors["both"] < 0.01


def test_cheap_dipoles_that_say_nothing_are_not_used(labelled: tuple[Dipoles, Dipoles]) -> None:
    accurate, cheap = labelled
    noise = np.random.default_rng(0).normal(0, 1.0, cheap.values.shape)
    found = fit_dipoles(
        module(), part(accurate, slice(30)), Dipoles(cheap.configurations, noise), model_id="a", level="b"
    )
    assert found.cheap_labels == 0


@pytest.mark.parametrize("max_l", [0, 1])
def test_the_dipole_turns_with_the_molecule_and_does_not_move_with_it(
    labelled: tuple[Dipoles, Dipoles], max_l: int
) -> None:
    accurate, _ = labelled
    mace = module(max_l=max_l)
    model = fit_dipoles(mace, part(accurate, slice(30)), None, model_id="a", level="gfn2-xtb")
    assert model.vectors.shape == (3, 8 * max_l)
    here = accurate.configurations[0]
    turn = Rotation.random(random_state=2).as_matrix()
    order = np.array([0, 1, 3, 2, 5, 4])
    before, turned, inverted, moved, swapped = predict_dipoles(
        mace,
        model,
        [
            here,
            here.with_positions(here.positions @ turn.T),
            here.with_positions(-here.positions),
            here.with_positions(here.positions + 7.0),
            Configuration(here.numbers[order], here.positions[order]),
        ],
    )
    assert np.linalg.norm(before) > 0.1
    np.testing.assert_allclose(turned, turn @ before, atol=ROUNDING)
    np.testing.assert_allclose(inverted, -before, atol=ROUNDING)
    np.testing.assert_allclose(moved, before, atol=ROUNDING)
    np.testing.assert_allclose(swapped, before, atol=ROUNDING)


def test_derivatives_of_the_dipole_obey_the_sum_rules_and_do_not_depend_on_the_step(
    fitted: tuple[torch.nn.Module, DipoleModel],
) -> None:
    mace, model = fitted
    steps = (0.005, 0.001)
    coarse, fine = (
        dipole_derivatives(list(predict_dipoles(mace, model, displacements(METHANOL, step=step))), step=step)
        for step in steps
    )
    # The error is of order step².
    np.testing.assert_allclose(coarse, fine, atol=2e-4)
    of_atoms = fine.reshape(-1, 3, 3)
    # One atom after another is displaced, so this holds to order step², too.
    np.testing.assert_allclose(of_atoms.sum(axis=0), 0, atol=1e-5)
    # A rotation of the molecule turns the dipole: Σ (ω × rᵢ)·∂μ/∂rᵢ = ω × μ.
    (dipole,) = predict_dipoles(mace, model, [METHANOL])
    for axis in np.eye(3):
        change = np.einsum("ia,iab->b", np.cross(axis, METHANOL.positions), of_atoms)
        np.testing.assert_allclose(change, np.cross(axis, dipole), atol=1e-5)


def test_the_calculator_gives_the_dipole_of_a_model_that_has_one(
    fitted: tuple[torch.nn.Module, DipoleModel], tmp_path: Path
) -> None:
    from ase.calculators.calculator import PropertyNotImplementedError

    mace, model = fitted
    store = Store(tmp_path)
    records.write(store, "models/methanol/a/dipoles.json", model)
    stored = records.read(store, DipoleModel, "models/methanol/a/dipoles.json")
    options = {"models": [mace], "device": "cpu", "default_dtype": "float64"}
    atoms = METHANOL.to_atoms()
    atoms.calc = ModelCalculator(name="a", compositions=["CH4O"], dipoles=stored, **options)
    energy = atoms.get_potential_energy()
    (expected,) = predict_dipoles(mace, model, [METHANOL])
    np.testing.assert_allclose(atoms.get_dipole_moment(), expected, atol=ROUNDING)
    assert atoms.get_potential_energy() == energy
    # Of other positions, the dipole is asked for first.
    atoms.rattle(0.05, seed=0)
    (expected,) = predict_dipoles(mace, model, [Configuration.from_atoms(atoms)])
    np.testing.assert_allclose(atoms.get_dipole_moment(), expected, atol=ROUNDING)
    assert atoms.get_forces().shape == (6, 3)
    atoms.calc = ModelCalculator(name="a", compositions=["CH4O"], **options)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_dipole_moment()


@pytest.mark.parametrize(("max_l", "max_ell"), [(0, 1), (1, 2), (2, 2)])
def test_features_are_those_of_mace_in_the_order_of_the_atoms(max_l: int, max_ell: int) -> None:
    mace = module(max_l=max_l, max_ell=max_ell)
    water = Configuration([1, 8, 1], [[0.9, 0.3, 0.0], [0.0, 0.0, 0.0], [-0.2, 0.9, 0.1]])
    methanols = [METHANOL.with_positions(METHANOL.positions + shift) for shift in np.eye(6)[:3, :, None] * 0.1]
    mixed = [methanols[0], water, *methanols[1:]]
    found = node_features(mace, mixed)
    for configuration, (scalars, vectors) in zip(mixed, found, strict=True):
        (whole,) = _features_any(mace, [configuration])
        # Two layers of 8 channels; the last one has scalars only. Constants of activations differ by 1e-8.
        assert (scalars.shape[1], vectors.shape[1]) == (16, 8 * min(max_l, 1))
        np.testing.assert_allclose(scalars[:, :8], whole[:, :8], atol=1e-6)
        np.testing.assert_allclose(scalars[:, 8:], whole[:, -8:], atol=1e-6)
        np.testing.assert_allclose(vectors.reshape(len(whole), -1), whole[:, 8 : 8 + 24 * min(max_l, 1)], atol=1e-6)


def test_an_element_without_weights_is_refused(fitted: tuple[torch.nn.Module, DipoleModel]) -> None:
    without = replace(fitted[1], elements=(1, 6), charges=fitted[1].charges[:2], vectors=fitted[1].vectors[:2])
    with pytest.raises(InputError, match=r"knows H, C and not O;"):
        predict_dipoles(fitted[0], without, [METHANOL])


def test_too_few_dipoles_are_refused(labelled: tuple[Dipoles, Dipoles]) -> None:
    with pytest.raises(TrainingError, match=f"takes {FEWEST}"):
        fit_dipoles(module(), part(labelled[0], slice(FEWEST - 1)), None, model_id="a", level="b")
