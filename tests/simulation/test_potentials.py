import numpy as np
import pytest
import torch
from mace.calculators import MACECalculator
from torch_sim.state import SimState

from asteroid.configuration import Configuration
from asteroid.simulation.potentials import (
    TRACE_FROM,
    CalculatorPotential,
    LeanPotential,
    ModulePotential,
    make_potential,
)
from tests.simulation.conftest import FromFunction


def geometries(start, count=3):
    return start.positions + np.random.default_rng(0).normal(0, 0.1, (count, *start.positions.shape))


def state(positions, numbers):
    count, atoms, _ = positions.shape
    return SimState(
        positions=torch.tensor(positions).reshape(-1, 3),
        masses=torch.ones(count * atoms, dtype=torch.float64),
        cell=torch.eye(3, dtype=torch.float64).repeat(count, 1, 1),
        pbc=False,
        atomic_numbers=torch.tensor(np.tile(numbers, count)),
        system_idx=torch.arange(count).repeat_interleave(atoms),
    )


def maces_own(model, start, positions):
    """Energies and forces of MACE's calculator, one geometry after another."""
    atoms = start.to_atoms()
    atoms.calc = MACECalculator(models=[model], device="cpu", default_dtype="float64")
    energies, forces = [], []
    for geometry in positions:
        atoms.positions = geometry
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    return np.array(energies), np.concatenate(forces)


@pytest.mark.parametrize("steps", [1, pytest.param(TRACE_FROM, marks=pytest.mark.long)])
def test_energies_and_forces_of_a_batch_are_those_of_maces_calculator(mace, formaldehyde, steps):
    positions = geometries(formaldehyde)
    potential = make_potential(mace, formaldehyde, replicas=3, steps=steps)
    assert isinstance(potential, LeanPotential)
    energies, forces = maces_own(mace, formaldehyde, positions)
    for _ in range(3):  # the first passes of a traced function take other ways than the later ones
        output = potential(state(positions, formaldehyde.numbers))
        np.testing.assert_allclose(output["energy"], energies, rtol=1e-10)
        np.testing.assert_allclose(output["forces"], forces, atol=1e-10 * np.abs(forces).max())
    assert potential.fixed == (steps == TRACE_FROM), "a pass that could not be traced is for any number of replicas"


def test_atoms_in_any_order_keep_their_own_forces(mace, formaldehyde):
    mixed = [3, 1, 0, 2]
    shuffled = Configuration(formaldehyde.numbers[mixed], formaldehyde.positions[mixed])
    positions = geometries(shuffled)
    output = LeanPotential(mace, shuffled.numbers, replicas=3, traced=False)(state(positions, shuffled.numbers))
    _, forces = maces_own(mace, shuffled, positions)
    np.testing.assert_allclose(output["forces"], forces, atol=1e-10 * np.abs(forces).max())


def test_atoms_beyond_the_cutoff_are_out_of_reach(mace, formaldehyde):
    positions = geometries(formaldehyde)
    positions[1, 2] += 20.0
    output = LeanPotential(mace, formaldehyde.numbers, replicas=3, traced=False)(state(positions, formaldehyde.numbers))
    energies, forces = maces_own(mace, formaldehyde, positions)
    np.testing.assert_allclose(output["energy"], energies, rtol=1e-10)
    np.testing.assert_allclose(output["forces"], forces, atol=1e-10 * np.abs(forces).max())


def test_one_replica_that_is_lost_leaves_the_others_as_they_are(mace, formaldehyde):
    positions = geometries(formaldehyde)
    potential = LeanPotential(mace, formaldehyde.numbers, replicas=3, traced=False)
    whole = potential(state(positions, formaldehyde.numbers))
    positions[1] = np.nan
    lost = potential(state(positions, formaldehyde.numbers))
    assert np.isfinite(lost["energy"].numpy()).tolist() == [True, False, True]
    np.testing.assert_array_equal(lost["forces"][:4], whole["forces"][:4])
    np.testing.assert_array_equal(lost["forces"][8:], whole["forces"][8:])


def test_a_model_that_the_fast_pass_does_not_know_goes_through_torchsim(mace, other_mace, formaldehyde):
    positions = geometries(formaldehyde)
    potential = make_potential(other_mace, formaldehyde, replicas=3, steps=TRACE_FROM)
    assert isinstance(potential, ModulePotential)
    output = potential(state(positions, formaldehyde.numbers))
    energies, forces = maces_own(mace, formaldehyde, positions)
    np.testing.assert_allclose(output["energy"], energies, rtol=1e-10)
    np.testing.assert_allclose(output["forces"], forces, atol=1e-10 * np.abs(forces).max())


def test_a_calculator_of_one_mace_model_is_computed_as_that_model(mace, formaldehyde):
    calculator = MACECalculator(models=[mace], device="cpu", default_dtype="float64")
    assert isinstance(make_potential(calculator, formaldehyde, replicas=1, steps=1), LeanPotential)


def test_a_calculator_that_fails_for_one_replica_says_why_and_serves_the_others(formaldehyde):
    def springs(positions):
        if positions[0, 0] > 50:
            raise RuntimeError("SCF did\nnot converge")
        return 1.0, -positions

    positions = geometries(formaldehyde)
    positions[1] += 100.0
    potential = make_potential(FromFunction(springs), formaldehyde, replicas=3, steps=1)
    assert isinstance(potential, CalculatorPotential)
    output = potential(state(positions, formaldehyde.numbers))
    assert potential.failures == {1: "the calculator failed: SCF did not converge"}
    assert np.isfinite(output["energy"].numpy()).tolist() == [True, False, True]
    np.testing.assert_array_equal(output["forces"][8:], -positions[2])
