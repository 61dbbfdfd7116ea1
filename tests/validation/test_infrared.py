"""Infrared lines and spectra against ASE, and against oscillators whose intensity is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.vibrations import Infrared

from asteroid.chemistry.vibrations import dipole_derivatives, displacements, normal_modes
from asteroid.configuration import Configuration
from asteroid.simulation.run import simulate
from asteroid.units import BOLTZMANN, DEBYE, FEMTOSECOND, INFRARED_INTENSITY
from asteroid.validation.infrared import compare_lines, dipole_errors, infrared_spectrum, intensities
from asteroid.validation.minimum import find_minimum, model_hessian
from asteroid.validation.spectra import CENTIMETRES_A_FEMTOSECOND
from tests.validation.certificates import WATER


def dipoles_of(calculator: Any, configurations: list[Configuration]) -> list[np.ndarray]:
    found = []
    for configuration in configurations:
        atoms: Any = configuration.to_atoms()
        atoms.calc = calculator
        found.append(np.array(atoms.get_dipole_moment()))
    return found


@pytest.fixture
def water(gfn: Callable[[int], Any]) -> tuple[Configuration, np.ndarray, np.ndarray]:
    """Minimum of GFN2-xTB, Hessian, and derivatives of the dipole."""
    minimum, _ = find_minimum(gfn(2), WATER, fmax=0.0005)
    slopes = dipole_derivatives(dipoles_of(gfn(2), displacements(minimum)))
    return minimum, model_hessian(gfn(2), minimum), slopes


def test_intensities_are_those_of_ase(
    water: tuple[Configuration, np.ndarray, np.ndarray], gfn: Callable[[int], Any], tmp_path: Path
) -> None:
    minimum, second, slopes = water
    ours = intensities(normal_modes(minimum, second), slopes)
    atoms: Any = minimum.to_atoms()
    atoms.calc = gfn(2)
    theirs = Infrared(atoms, name=str(tmp_path / "ir"), delta=0.005)
    theirs.run()
    theirs.read()
    # (D/Å)²/u, with ASE's factor for km/mol; translations and rotations come first.
    np.testing.assert_allclose(ours, theirs.intensities[6:] * 42.255, rtol=0.01)
    assert ours.max() > 20


def test_lines_of_a_turned_molecule_are_matched_with_equal_intensities(
    water: tuple[Configuration, np.ndarray, np.ndarray],
) -> None:
    minimum, second, slopes = water
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    rotation *= np.linalg.det(rotation)
    blocks = np.kron(np.eye(3), rotation)
    there = minimum.with_positions(minimum.positions @ rotation.T + 1.0), blocks @ second @ blocks.T
    model, accurate = compare_lines(there, blocks @ slopes @ rotation.T, (minimum, second), slopes)
    np.testing.assert_allclose(model.intensities, accurate.intensities, rtol=1e-3)
    np.testing.assert_allclose(model.wavenumbers, accurate.wavenumbers, atol=1e-3)


def test_the_band_of_an_oscillator_lies_at_its_frequency_and_has_its_intensity_as_area() -> None:
    """Charges ±q on a reduced mass m, with the kinetic energy of equipartition: the intensity is that of q²/m."""
    charge, mass, kelvin, interval, wavenumber = 0.3, 7.0, 350.0, 2.0, 2100.0
    omega = 2 * np.pi * CENTIMETRES_A_FEMTOSECOND * wavenumber  # 1/fs
    speed = np.sqrt(2 * BOLTZMANN * kelvin / mass) * FEMTOSECOND  # Å/fs, the largest: <v²> = kT/m
    stretch = speed / omega * np.sin(omega * interval * np.arange(2000))
    dipoles = charge * stretch[None, :, None] * np.array([0.6, 0.0, 0.8])
    found = infrared_spectrum(dipoles, interval=interval, temperature=kelvin)
    assert found.wavenumbers[found.absorption.argmax()] == pytest.approx(wavenumber, abs=found.resolution)
    area = np.trapezoid(found.absorption, found.wavenumbers)
    assert area == pytest.approx(INFRARED_INTENSITY * charge**2 / mass, rel=0.01)


def test_the_spectrum_of_cold_water_has_the_area_and_the_bands_of_its_harmonic_lines(
    water: tuple[Configuration, np.ndarray, np.ndarray], gfn: Callable[[int], Any]
) -> None:
    minimum, second, slopes = water
    modes = normal_modes(minimum, second)
    lines = intensities(modes, slopes)
    replicas = simulate(
        gfn(2),
        [minimum] * 3,
        ensemble="nve",
        temperatures=[5.0] * 3,
        timestep=0.5,
        duration=0.6,
        interval=2.0,
        seeds=[1, 2, 3],
    )
    kelvin = float(np.mean([replica.temperatures.mean() for replica in replicas]))
    series = np.array([dipoles_of(gfn(2), [minimum.with_positions(p) for p in r.positions[:-1]]) for r in replicas])
    found = infrared_spectrum(series, interval=2.0, temperature=kelvin)
    # Energy is shared among the modes by chance, so each band is compared with the energy in its mode.
    energies = np.zeros(3)
    for replica in replicas:
        moves = (replica.positions - minimum.positions) * np.sqrt(minimum.masses)[:, None]
        along = moves.reshape(len(moves), -1) @ modes.vectors.reshape(3, -1).T
        energies += (modes.frequencies * along.std(axis=0)) ** 2 / len(replicas)
    expected = lines * energies / (BOLTZMANN * kelvin)
    for wavenumber, area in zip(modes.wavenumbers, expected, strict=True):
        near = np.abs(found.wavenumbers - wavenumber) < 50 + found.resolution
        if area > 0.1 * expected.sum():
            assert np.trapezoid(found.absorption[near], found.wavenumbers[near]) == pytest.approx(area, rel=0.15)
    assert np.trapezoid(found.absorption, found.wavenumbers) == pytest.approx(expected.sum(), rel=0.1)


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        infrared_spectrum(np.zeros((1, 3, 3)), interval=2.0, temperature=300)


def test_errors_of_dipoles_are_in_debye() -> None:
    reference = np.array([[0.0, 0.0, 0.3], [0.0, 0.0, -0.3]])
    found = dipole_errors(reference, reference + DEBYE, None, reference, labels=5, cheap_labels=0)
    assert found.model == pytest.approx(1.0)
    assert (found.cheap, found.constant_charges, found.frames) == (None, 0.0, 2)
    assert found.size == pytest.approx(0.1 / DEBYE)
