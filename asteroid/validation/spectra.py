"""Vibrational density of states of a model's MD, including anharmonicity.

It is the Fourier transform of the velocity autocorrelation function; :mod:`asteroid.validation.infrared` has that of
the dipole. Called by :mod:`asteroid.stages.own_md` and shown in the report.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.store.records import Floats

CENTIMETRES_A_FEMTOSECOND = 2.99792458e-5
"""Speed of light (exact)."""
WIDEST = 4500.0
"""cm⁻¹, end of the spectrum, above all vibrations."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A vibrational density of states.

    Args:
        wavenumbers: (K,) cm⁻¹.
        density: (K,) cm, normalised to an integral of 1.
        temperature: K, of the starting velocities.
        duration: ps, of each trajectory.
        resolution: cm⁻¹, from the duration.
        trajectories: number of averaged trajectories.
    """

    wavenumbers: Floats
    density: Floats
    temperature: float
    duration: float
    resolution: float
    trajectories: int


def power_spectrum(positions: npt.ArrayLike, masses: npt.ArrayLike, *, interval: float, temperature: float) -> Spectrum:
    """Mass-weighted power spectrum of the velocities of trajectories of equal length.

    By the Wiener–Khinchin theorem it is the transform of the velocity autocorrelation function.

    Args:
        positions: (R, K, N, 3) Å.
        masses: (N,) u.
        interval: fs between frames; at most 4, so that stretching vibrations are below the Nyquist frequency.
        temperature: K.

    Raises:
        ValueError: for fewer than four frames.
    """
    places = np.asarray(positions, dtype=np.float64)
    if places.ndim != 4 or places.shape[1] < 4:
        raise ValueError(f"positions have shape {places.shape}; expected (R, K, N, 3) with K of at least 4")
    masses = np.asarray(masses, dtype=np.float64)
    wavenumbers, density = power_density(places * np.sqrt(masses)[:, None], interval=interval)
    power = density.sum(axis=(0, 2, 3))
    duration = places.shape[1] * interval
    return Spectrum(
        wavenumbers=wavenumbers,
        density=power / np.trapezoid(power, wavenumbers),
        temperature=temperature,
        duration=duration / 1000,
        resolution=1 / duration / CENTIMETRES_A_FEMTOSECOND,
        trajectories=len(places),
    )


def power_density(values: Floats, *, interval: float) -> tuple[Floats, Floats]:
    """Power spectral density of the time derivative of series, whose integral is its mean square.

    Derivatives are central differences, corrected for the factor sin(ωΔ)/(ωΔ).

    Args:
        values: (R, K, …), K frames of R trajectories.
        interval: fs between frames.

    Returns:
        Wavenumbers (K',) in cm⁻¹, and the density (R, K', …) per cm⁻¹ and fs².
    """
    slopes = (values[:, 2:] - values[:, :-2]) / (2 * interval)
    count = slopes.shape[1]
    # A Hann window reduces spectral leakage of strong bands.
    window = np.hanning(count + 2)[1:-1].reshape(-1, *[1] * (values.ndim - 2))
    transformed = np.fft.rfft(slopes * window, n=4 * count, axis=1)
    frequencies = np.fft.rfftfreq(4 * count, interval)
    wavenumbers = np.asarray(frequencies, dtype=np.float64) / CENTIMETRES_A_FEMTOSECOND
    # Central differences vanish at the Nyquist frequency; stop at 0.9 of it.
    kept = wavenumbers <= min(WIDEST, 0.45 / interval / CENTIMETRES_A_FEMTOSECOND)
    density = 2 * interval * CENTIMETRES_A_FEMTOSECOND * np.abs(transformed[:, kept]) ** 2 / np.square(window).sum()
    damping = np.sinc(2 * frequencies[kept] * interval).clip(0.1) ** 2
    return wavenumbers[kept], density / damping.reshape(-1, *[1] * (values.ndim - 2))
