"""Infrared lines and spectrum of a model with a dipole model, and errors of its dipoles.

Harmonic lines have intensities from the derivative of the dipole along each normal mode; the accurate ones come from
the dipoles of the labels that gave the accurate Hessian. The spectrum of the model's MD is the Fourier transform of the
autocorrelation of the dipole's time derivative. It is evidence of a certificate, not a requirement.
:mod:`asteroid.stages.infrared` gathers it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asteroid.chemistry.vibrations import NormalModes
from asteroid.store.records import Floats
from asteroid.units import BOLTZMANN, DEBYE, FEMTOSECOND, INFRARED_INTENSITY
from asteroid.validation.harmonic import Curved, match_modes
from asteroid.validation.spectra import CENTIMETRES_A_FEMTOSECOND, power_density


@dataclass(frozen=True)
class DipoleErrors:
    """Mean absolute errors of dipole components on the test frames, debye.

    Args:
        frames: number of test frames with dipoles.
        model: of the dipole model.
        cheap: of the dipoles of the cheap level; None without them.
        constant_charges: of one fitted charge for each element.
        size: mean absolute component of the accurate dipoles.
        labels, cheap_labels: number of frames whose dipoles the model was fitted to.
    """

    frames: int
    model: float
    cheap: float | None
    constant_charges: float
    size: float
    labels: int
    cheap_labels: int


@dataclass(frozen=True, eq=False)
class Lines:
    """Harmonic infrared lines.

    Args:
        wavenumbers: (M,) cm⁻¹; imaginary ones are negative.
        intensities: (M,) km/mol.
    """

    wavenumbers: Floats
    intensities: Floats


@dataclass(frozen=True, eq=False)
class InfraredSpectrum:
    """Infrared spectrum of MD, with the harmonic quantum correction.

    Args:
        wavenumbers: (K,) cm⁻¹.
        absorption: (K,) km/mol per cm⁻¹, so that the area of a band is its intensity.
        temperature: K, mean of the trajectories.
        resolution: cm⁻¹, from the duration of a trajectory.
        trajectories: number of averaged trajectories.
    """

    wavenumbers: Floats
    absorption: Floats
    temperature: float
    resolution: float
    trajectories: int


@dataclass(frozen=True, eq=False)
class Infrared:
    """All that a certificate says of dipoles; ``evidence.infrared`` in its JSON.

    Args:
        errors: None without test frames with dipoles.
        model: at the model's minimum, in the order of ``accurate`` if that is there; None without a minimum.
        accurate: of the matching modes at the accurate minimum; None if it was not asked for or has no dipoles.
        spectrum: None if the model's MD was too short or failed.
    """

    errors: DipoleErrors | None
    model: Lines | None
    accurate: Lines | None
    spectrum: InfraredSpectrum | None


def dipole_errors(
    reference: Floats, model: Floats, cheap: Floats | None, constant_charges: Floats, *, labels: int, cheap_labels: int
) -> DipoleErrors:
    """Errors of dipoles (M, 3) e·Å; arguments as in :class:`DipoleErrors`."""

    def error(found: Floats) -> float:
        return float(np.abs(found - reference).mean() / DEBYE)

    return DipoleErrors(
        frames=len(reference),
        model=error(model),
        cheap=None if cheap is None else error(cheap),
        constant_charges=error(constant_charges),
        size=float(np.abs(reference).mean() / DEBYE),
        labels=labels,
        cheap_labels=cheap_labels,
    )


def intensities(modes: NormalModes, derivatives: Floats) -> Floats:
    """Infrared intensities of normal modes, (M,) km/mol, in the double harmonic approximation.

    Wilson, Decius and Cross, Molecular Vibrations, 1955, section 7-6: N_A/(12 ε₀ c²) |∂μ/∂Q|².

    Args:
        derivatives: (3N, 3) e, of the dipole by the coordinates.
    """
    # Q is mass-weighted, in sqrt(u)·Å.
    moves = modes.vectors / np.sqrt(modes.masses)[:, None]
    along = moves.reshape(len(moves), -1) @ derivatives
    return np.asarray(INFRARED_INTENSITY * np.square(along).sum(axis=1))


def compare_lines(model: Curved, slopes: Floats, accurate: Curved, accurate_slopes: Floats) -> tuple[Lines, Lines]:
    """Lines of the model and of the accurate level, whose modes are matched by overlap.

    Args:
        model, accurate: a minimum and its Hessian.
        slopes, accurate_slopes: (3N, 3) e, derivatives of the dipole by the coordinates.
    """
    found = match_modes(model, accurate)
    ours, theirs = intensities(found.model, slopes), intensities(found.accurate, accurate_slopes)
    return (
        Lines(found.model.wavenumbers[found.columns], ours[found.columns]),
        Lines(found.accurate.wavenumbers[found.rows], theirs[found.rows]),
    )


def infrared_spectrum(dipoles: npt.ArrayLike, *, interval: float, temperature: float) -> InfraredSpectrum:
    """Infrared spectrum of trajectories of equal length, from the autocorrelation of the dipole's time derivative.

    The classical spectrum is multiplied by the harmonic quantum correction βħω/(1 − exp(−βħω)), with which harmonic
    bands have their quantum intensities: Ramírez, López-Ciudad, Kumar and Marx, doi:10.1063/1.1774986.

    Args:
        dipoles: (R, K, 3) e·Å.
        interval: fs between frames; at most 4, see :func:`~asteroid.validation.spectra.power_spectrum`.
        temperature: K.

    Raises:
        ValueError: for fewer than four frames.
    """
    moments = np.asarray(dipoles, dtype=np.float64)
    if moments.ndim != 3 or moments.shape[1] < 4:
        raise ValueError(f"dipoles have shape {moments.shape}; expected (R, K, 3) with K of at least 4")
    wavenumbers, density = power_density(moments, interval=interval)
    # In e² Å²/fs² per cm⁻¹; a mode in equilibrium has a kinetic energy of kT/2.
    mean_square = density.sum(axis=-1).mean(axis=0) / FEMTOSECOND**2
    return InfraredSpectrum(
        wavenumbers=wavenumbers,
        absorption=INFRARED_INTENSITY * mean_square / (BOLTZMANN * temperature),
        temperature=temperature,
        resolution=1 / (moments.shape[1] * interval) / CENTIMETRES_A_FEMTOSECOND,
        trajectories=len(moments),
    )
