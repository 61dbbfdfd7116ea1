"""Figures of the further evidence of a certificate (:class:`asteroid.validation.evidence.Evidence`), PNG as bytes."""

import numpy as np

from asteroid.report.canvas import (
    BLUE,
    CYCLE,
    GREY,
    ORANGE,
    VERMILION,
    legend_above,
    new_axes,
    to_png,
)
from asteroid.report.smoothing import best_bandwidth, smooth
from asteroid.store.records import Floats
from asteroid.validation.distributions import Distributions
from asteroid.validation.harmonic import Frequencies
from asteroid.validation.spectra import Spectrum
from asteroid.validation.torsions import TorsionComparison

MOST_SHOWN = 3
"""Largest number of distributions in one figure, those with the largest distances."""


def frequency_deviations(frequencies: Frequencies) -> bytes:
    """Deviation of each harmonic frequency from the accurate one, cm⁻¹."""
    figure, axes = new_axes("accurate harmonic frequency (cm⁻¹)", "model − accurate (cm⁻¹)")
    accurate, model = frequencies.accurate, frequencies.model
    axes.axhline(0.0, color=GREY, linewidth=1)
    axes.vlines(accurate, 0.0, model - accurate, color=BLUE, linewidth=1.5)
    axes.plot(accurate, model - accurate, linestyle="none", marker="o", markersize=5, color=BLUE)
    return to_png(figure)


def torsion_profile(torsion: TorsionComparison) -> bytes:
    """Energies along a torsion, meV above the minimum, of the model and of accurate labels at the same geometries."""
    figure, axes = new_axes(f"rotation about {torsion.name} (°)", "energy (meV)")
    axes.plot(torsion.turns, 1000 * torsion.energies, color=BLUE, marker=".", markersize=4, label="this model")
    if len(torsion.points):
        axes.plot(
            [0.0, *torsion.turns[torsion.points]],
            [0.0, *(1000 * torsion.accurate)],
            linestyle="none",
            marker="s",
            color=VERMILION,
            label="accurate",
        )
    axes.set_xticks(range(-180, 181, 60))
    axes.legend(frameon=False, fontsize=9)
    return to_png(figure)


def distributions(found: Distributions, kind: str) -> bytes | None:
    """Distributions of one kind with the largest distances: the model's MD (filled) and the reference (line).

    Args:
        kind: ``bond``, ``angle``, ``dihedral`` or ``fragments``.

    Returns:
        None if there is no such coordinate or no usable reference.
    """
    distances = [one for one in found.distances if one.kind == kind]
    if not distances:
        return None
    names = {"bond": "bond length (Å)", "angle": "bond angle (°)", "dihedral": "dihedral angle (°)"}
    names["fragments"] = "distance between fragments (Å)"
    figure, axes = new_axes(names[kind], f"density at {found.temperature:.0f} K")
    period = 360.0 if kind == "dihedral" else None
    for index, one in enumerate(sorted(distances, key=lambda d: -d.value)[:MOST_SHOWN]):
        colour = CYCLE[index % len(CYCLE)]
        centres, model, reference = one.centres, one.model, one.reference
        # The bandwidth of the smaller sample for both; different ones would look like a difference.
        effective = min(found.effective, float(found.frames))
        bandwidth = best_bandwidth(centres, reference, effective, period=period)
        beyond = 0.0 if period else 3 * bandwidth
        places = np.linspace(centres[0] - beyond, centres[-1] + beyond, 300)
        model, reference = (smooth(centres, d, places, bandwidth, period=period) for d in (model, reference))
        axes.fill_between(places, model, color=colour, alpha=0.25, linewidth=0)
        axes.plot(places, reference, color=colour, linewidth=1.3, label=one.name)
    if period:
        axes.set_xticks(range(-180, 181, 60))
    axes.set_ylim(bottom=0)
    legend_above(axes)
    return to_png(figure)


def power_spectrum(spectrum: Spectrum, frequencies: Floats | None) -> bytes:
    """Power spectrum of the model's MD, with its harmonic frequencies (cm⁻¹) as ticks below."""
    figure, axes = new_axes("wavenumber (cm⁻¹)", "density of states (arbitrary)", size=(7.2, 3.2))
    density = spectrum.density / (spectrum.density.max() or 1.0)
    name = f"MD from {spectrum.temperature:.0f} K, resolution {spectrum.resolution:.0f} cm⁻¹"
    axes.plot(spectrum.wavenumbers, density, color=BLUE, linewidth=1.2, label=name)
    if frequencies is not None and len(frequencies):
        shown = [f for f in frequencies if f > 0]
        axes.vlines(shown, -0.08, -0.02, color=ORANGE, linewidth=1.5, label="harmonic frequencies")
    axes.set_yticks([])
    axes.legend(frameon=False, fontsize=9)
    return to_png(figure)
