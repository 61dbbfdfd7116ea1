"""A smooth density from a histogram of few independent values, for the plots of distributions.

A reference of 70 independent frames in 60 bins is mostly noise. :mod:`asteroid.report.certificate_plots` draws both
densities smoothed alike, by as much as the smaller sample asks for.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BANDWIDTHS = 25
"""Tried, from one bin to a quarter of the range."""
NOT_EXCLUDED = 1.92
"""Logarithm of the likelihood that a parameter may lose and stay within its 95 % interval (half of χ² = 3.84)."""


def best_bandwidth(centres: Floats, density: Floats, effective: float, *, period: float | None = None) -> float:
    """Largest standard deviation of a Gaussian kernel under which values left out one by one are still likely.

    Unlike rules from the spread of the values it does not merge the peaks of a torsion. The likelihood is that of
    Habbema, Hermans and van den Broek (1974), for values that are known by their bins.

    Args:
        centres: (B,) of equal bins.
        density: (B,) in them.
        effective: how many independent values the histogram is worth.
        period: of a circle, in the unit of ``centres``.
    """
    width = centres[1] - centres[0]
    share = density / density.sum()
    effective = max(effective, 2.0)
    tried = np.geomspace(width, len(centres) * width / 4, BANDWIDTHS)
    likelihoods = []
    for bandwidth in tried:
        peak = 1 / (bandwidth * np.sqrt(2 * np.pi))
        at_bins = smooth(centres, density, centres, bandwidth, period=period)
        without = (effective * at_bins - peak) / (effective - 1)
        likelihoods.append(float(share @ np.log(np.maximum(without, 1e-6 * peak))))
    ratios = effective * (max(likelihoods) - np.array(likelihoods))
    return float(tried[ratios <= NOT_EXCLUDED][-1])


def smooth(
    centres: Floats, density: Floats, places: Floats, bandwidth: float, *, period: float | None = None
) -> Floats:
    """(K,) density at ``places``, a Gaussian of this standard deviation for each bin; its integral is 1.

    >>> narrow = smooth(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([0.0]), 0.5)
    >>> round(float(narrow[0]), 3)
    0.798
    """
    apart = places[:, None] - centres
    if period:
        apart = (apart + period / 2) % period - period / 2
    kernel = np.exp(-0.5 * (apart / bandwidth) ** 2) / (bandwidth * np.sqrt(2 * np.pi))
    return np.asarray(kernel @ (density / density.sum()))
