"""Figures of the infrared lines and spectrum of a certificate (:mod:`asteroid.validation.infrared`), PNG as bytes."""

from collections.abc import Callable

import numpy as np
from matplotlib.ticker import FuncFormatter

from asteroid.report.canvas import BLUE, GREY, ORANGE, VERMILION, legend_above, new_axes, to_png
from asteroid.store.records import Floats
from asteroid.validation.infrared import Infrared, InfraredSpectrum, Lines
from asteroid.validation.spectra import WIDEST

WIDTH = 20.0
"""cm⁻¹, full width at half maximum of a drawn line, about that of a band in a gas cell at low resolution."""

HANN_WIDTH = 1.44
"""Full width at half maximum of a line after a Hann window, in units of 1/duration."""


def infrared_figures(found: Infrared) -> dict[str, bytes]:
    """The figures by their names in the template."""
    figures = {}
    if found.model is not None:
        figures["infrared_lines"] = infrared_lines(found.model, found.accurate)
    if found.spectrum is not None:
        figures["infrared_spectrum"] = infrared_spectrum(found.spectrum, found.model)
    return figures


def infrared_lines(model: Lines, accurate: Lines | None) -> bytes:
    """Harmonic lines and their sum as Lorentzians, km/mol per cm⁻¹: the model above, the accurate level below."""
    figure, axes = new_axes("wavenumber (cm⁻¹)", "absorption (km/mol per cm⁻¹)", size=(7.2, 3.6))
    both = [(model, 1.0, BLUE, "this model")]
    if accurate is not None:
        both.append((accurate, -1.0, VERMILION, "accurate, mirrored"))
    places = np.arange(0.0, _end(*(lines for lines, *_ in both)), 1.0)
    for lines, sign, colour, name in both:
        heights = lines.intensities * 2 / (np.pi * WIDTH)
        axes.vlines(lines.wavenumbers, 0, sign * heights, color=colour, linewidth=1.6)
        broad = sign * _broadened(lines, places, lambda x: (2 / (np.pi * WIDTH)) / (1 + (2 * x / WIDTH) ** 2))
        axes.plot(places, broad, color=colour, linewidth=0.9, label=name)
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    # The mirrored ones are positive, too.
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
    axes.set_xlim(0, places[-1])
    legend_above(axes)
    return to_png(figure)


def infrared_spectrum(spectrum: InfraredSpectrum, lines: Lines | None) -> bytes:
    """Spectrum of MD, and the model's harmonic lines as broad as the spectrum resolves them (dashed)."""
    figure, axes = new_axes("wavenumber (cm⁻¹)", "absorption (km/mol per cm⁻¹)", size=(7.2, 3.2))
    name = f"MD at {spectrum.temperature:.0f} K, resolution {spectrum.resolution:.0f} cm⁻¹"
    axes.plot(spectrum.wavenumbers, spectrum.absorption, color=BLUE, linewidth=1.2, label=name)
    if lines is not None:
        sigma = HANN_WIDTH * spectrum.resolution / np.sqrt(8 * np.log(2))
        broad = _broadened(
            lines, spectrum.wavenumbers, lambda x: np.exp(-0.5 * (x / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        )
        axes.plot(spectrum.wavenumbers, broad, color=ORANGE, linewidth=1.2, linestyle="--", label="harmonic, as broad")
        axes.set_xlim(0, _end(lines))
    axes.set_ylim(bottom=0)
    legend_above(axes)
    return to_png(figure)


def _broadened(lines: Lines, places: Floats, shape: Callable[[Floats], Floats]) -> Floats:
    """Sum of the lines, each with a shape of area 1."""
    return np.asarray(shape(places[:, None] - lines.wavenumbers) @ lines.intensities)


def _end(*lines: Lines) -> float:
    """cm⁻¹, end of the axis."""
    last = max((float(one.wavenumbers.max()) for one in lines if len(one.wavenumbers)), default=WIDEST)
    return min(WIDEST, max(500.0, last + 15 * WIDTH))
