"""The power spectrum of a model's MD: at which frequencies its atoms move, anharmonicity included.

The density of states is the Fourier transform of the velocities' autocorrelation; a band that is missing or displaced
against the harmonic frequencies shows what the minimum alone does not. Infrared intensities need a dipole that these
models do not have. The positions come from the MD of :mod:`asteroid.stages.own_md`; a report draws the curve.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.store.records import Floats

CENTIMETRES_A_FEMTOSECOND = 2.99792458e-5
"""Speed of light; exact."""
WIDEST = 4500.0
"""cm⁻¹, beyond which no vibration lies"""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A vibrational density of states.

    Args:
        wavenumbers: (K,) cm⁻¹.
        density: (K,) per cm⁻¹; its integral is 1.
        temperature: K, of the velocities that the trajectories began with.
        duration: ps, of each trajectory; its inverse limits the resolution.
        resolution: cm⁻¹
        trajectories: averaged.
    """

    wavenumbers: Floats
    density: Floats
    temperature: float
    duration: float
    resolution: float
    trajectories: int


def power_spectrum(positions: npt.ArrayLike, masses: npt.ArrayLike, *, interval: float, temperature: float) -> Spectrum:
    """Mass-weighted power spectrum of the velocities along trajectories of equal length.

    By the Wiener–Khinchin theorem it is the transform of the velocity autocorrelation function. Velocities are central
    differences, whose damping sin(ωΔ)/(ωΔ) is divided out again.

    Args:
        positions: (R, K, N, 3) Å.
        masses: (N,) u.
        interval: fs between frames; 4 or less, or stretching vibrations fall beyond the Nyquist frequency.
        temperature: K.

    Raises:
        ValueError: for fewer than four frames.
    """
    places = np.asarray(positions, dtype=np.float64)
    if places.ndim != 4 or places.shape[1] < 4:
        raise ValueError(f"positions have shape {places.shape}; expected (R, K, N, 3) with K of at least 4")
    velocities = (places[:, 2:] - places[:, :-2]) / (2 * interval)
    velocities = velocities * np.sqrt(np.asarray(masses, dtype=np.float64))[:, None]
    count = velocities.shape[1]
    # Hann's window keeps the strong bands from leaking over the weak ones.
    window = np.hanning(count + 2)[1:-1]
    transformed = np.fft.rfft(velocities * window[None, :, None, None], n=4 * count, axis=1)
    power = (np.abs(transformed) ** 2).sum(axis=(0, 2, 3))
    frequencies = np.fft.rfftfreq(4 * count, interval)
    wavenumbers = np.asarray(frequencies, dtype=np.float64) / CENTIMETRES_A_FEMTOSECOND
    power = power / np.sinc(2 * frequencies * interval).clip(0.1) ** 2
    # Beyond 0.9 of the sampling limit of the differences nothing is left to divide.
    kept = wavenumbers <= min(WIDEST, 0.45 / interval / CENTIMETRES_A_FEMTOSECOND)
    wavenumbers, power = wavenumbers[kept], power[kept]
    duration = places.shape[1] * interval
    return Spectrum(
        wavenumbers=wavenumbers,
        density=power / np.trapezoid(power, wavenumbers),
        temperature=temperature,
        duration=duration / 1000,
        resolution=1 / duration / CENTIMETRES_A_FEMTOSECOND,
        trajectories=len(places),
    )
