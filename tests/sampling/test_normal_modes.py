"""Normal modes are those of ASE, and displacements along them are Boltzmann distributed."""

from pathlib import Path

import numpy as np
import pytest
from ase.vibrations import Vibrations

from asteroid.chemistry.vibrations import NormalModes, normal_modes
from asteroid.configuration import Configuration
from asteroid.engines import Labeller
from asteroid.labelling.calculator import LabellerCalculator
from asteroid.sampling.normal_modes import SOFTEST, compute_hessian, displace
from asteroid.units import BOLTZMANN, WAVENUMBER


def test_frequencies_are_those_of_ase(labeller: Labeller, water: Configuration, tmp_path: Path) -> None:
    modes = normal_modes(water, compute_hessian(labeller, water))
    atoms = water.to_atoms()
    atoms.calc = LabellerCalculator(labeller)
    vibrations = Vibrations(atoms, name=str(tmp_path / "vib"), delta=0.005)
    vibrations.run()
    # ASE does not project rotations out; at a minimum with 0.01 eV/Å left that moves a bending mode by some cm⁻¹.
    assert modes.wavenumbers == pytest.approx(vibrations.get_frequencies()[-3:].real, abs=5)


def test_a_linear_molecule_has_one_vibration_more(labeller: Labeller, hydrogen: Configuration) -> None:
    modes = normal_modes(hydrogen, compute_hessian(labeller, hydrogen))
    assert len(modes.frequencies) == 1


def test_displacements_neither_move_nor_turn_the_molecule(labeller: Labeller, water: Configuration) -> None:
    modes = normal_modes(water, compute_hessian(labeller, water))
    steps = displace(water, modes, temperature=300, count=50, seed=0) - water.positions
    momentum = np.einsum("n,cna->ca", modes.masses, steps)
    centred = water.positions - np.average(water.positions, axis=0, weights=modes.masses)
    angular = np.einsum("n,cna->ca", modes.masses, np.cross(centred, steps))
    assert np.abs(momentum).max() < 1e-10
    assert np.abs(angular).max() < 1e-10


def test_the_variance_along_each_mode_is_temperature_over_force_constant(
    labeller: Labeller, water: Configuration
) -> None:
    hessian = compute_hessian(labeller, water)
    modes = normal_modes(water, hessian)
    temperature, count = 500.0, 20_000
    steps = (displace(water, modes, temperature=temperature, count=count, seed=1) - water.positions).reshape(count, -1)
    energies = 0.5 * np.einsum("ci,ij,cj->c", steps, hessian, steps)
    # Equipartition: k_B T / 2 for each of three modes. The mean of 20 000 draws scatters by 0.6 %; five times that.
    assert energies.mean() == pytest.approx(1.5 * BOLTZMANN * temperature, rel=0.03)
    amplitudes = np.einsum("ci,mi->cm", steps * np.repeat(np.sqrt(modes.masses), 3), modes.vectors.reshape(3, -1))
    # A variance of 20 000 draws scatters by 1 %.
    assert amplitudes.var(axis=0) == pytest.approx(BOLTZMANN * temperature / modes.frequencies**2, rel=0.05)


def test_soft_and_imaginary_modes_move_no_farther_than_the_softest_allowed(water: Configuration) -> None:
    vectors = np.eye(9)[:3].reshape(3, 3, 3)
    unit = SOFTEST / WAVENUMBER
    modes = NormalModes(np.array([1e-6, -unit / 2, -2 * unit]), vectors, np.ones(3))
    steps = displace(water, modes, temperature=300, count=20_000, seed=0) - water.positions
    widths = steps.reshape(-1, 9)[:, :3].std(axis=0)
    # A standard deviation of 20 000 draws scatters by 0.5 %.
    assert widths / np.sqrt(BOLTZMANN * 300) * unit == pytest.approx([1, 1, 0.5], rel=0.03)


def test_more_displacements_begin_with_the_fewer(labeller: Labeller, water: Configuration) -> None:
    modes = normal_modes(water, compute_hessian(labeller, water))
    few = displace(water, modes, temperature=300, count=5, seed=3)
    many = displace(water, modes, temperature=300, count=9, seed=3)
    assert np.array_equal(many[:5], few)
