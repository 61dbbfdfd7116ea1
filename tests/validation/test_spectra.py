from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asteroid.chemistry.vibrations import normal_modes
from asteroid.simulation.run import simulate
from asteroid.units import WAVENUMBER
from asteroid.validation.minimum import find_minimum, model_hessian
from asteroid.validation.spectra import CENTIMETRES_A_FEMTOSECOND, power_spectrum
from tests.validation.certificates import WATER


def waves(wavenumbers: list[float], amplitudes: list[float], *, interval: float, count: int) -> np.ndarray:
    """(1, count, 1, 3): one atom that swings with several frequencies."""
    times = interval * np.arange(count)
    phases = 2 * np.pi * CENTIMETRES_A_FEMTOSECOND * np.outer(wavenumbers, times)
    x = amplitudes @ np.sin(phases)
    return np.stack([x, 0 * x, 0 * x], axis=1)[None, :, None, :]


def test_a_swinging_atom_has_one_band_at_its_frequency() -> None:
    found = power_spectrum(waves([1500.0], [0.1], interval=2.0, count=1000), [12.0], interval=2.0, temperature=300)
    assert found.wavenumbers[found.density.argmax()] == pytest.approx(1500, abs=found.resolution)
    assert np.trapezoid(found.density, found.wavenumbers) == pytest.approx(1.0)
    assert found.resolution == pytest.approx(1 / (2000 * CENTIMETRES_A_FEMTOSECOND))


def test_bands_are_as_strong_as_the_kinetic_energy_in_them_however_fast_they_are() -> None:
    """Equal velocities at 500 and 3500 cm⁻¹; differences over 4 fs would hide the latter."""
    places = waves([500.0, 3500.0], [0.07, 0.01], interval=2.0, count=2000)
    found = power_spectrum(places, [12.0], interval=2.0, temperature=300)
    slow = found.wavenumbers < 2000
    parts = [np.trapezoid(found.density[part], found.wavenumbers[part]) for part in (slow, ~slow)]
    assert parts[0] == pytest.approx(parts[1], rel=0.02)


def test_the_spectrum_of_cold_water_has_its_bands_at_the_normal_modes(gfn: Callable[[int], Any]) -> None:
    minimum, _ = find_minimum(gfn(2), WATER)
    modes = normal_modes(minimum, model_hessian(gfn(2), minimum)).wavenumbers
    (replica,) = simulate(
        gfn(2), [minimum], ensemble="nve", temperatures=[2.0], timestep=0.5, duration=0.6, interval=2.0, seeds=[1]
    )
    masses = minimum.to_atoms().get_masses()
    found = power_spectrum(replica.positions[None, :-1], masses, interval=2.0, temperature=2.0)
    inner = found.density[1:-1]
    peaks = found.wavenumbers[1:-1][
        (inner > found.density[:-2]) & (inner > found.density[2:]) & (inner > 0.02 * inner.max())
    ]
    # A time step of 0.5 fs stiffens the fastest of them by (ωΔt)²/24, 5 cm⁻¹; 0.6 ps resolve 56.
    for mode in modes:
        assert np.abs(peaks - mode).min() < found.resolution


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        power_spectrum(np.zeros((1, 3, 2, 3)), [1.0, 1.0], interval=2.0, temperature=300)


def test_the_speed_of_light_fits_the_units() -> None:
    # One radian in ASE's time unit, by way of the energy that units.py knows.
    from asteroid.units import FEMTOSECOND

    omega = FEMTOSECOND / (2 * np.pi * CENTIMETRES_A_FEMTOSECOND)
    assert pytest.approx(omega, rel=1e-6) == WAVENUMBER
