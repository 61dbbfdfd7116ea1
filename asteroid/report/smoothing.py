"""Smooth densities from histograms with few independent values, for the plots of distributions.

A histogram of 70 independent frames in 60 bins is mostly noise.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BANDWIDTHS = 25
"""Number of bandwidths to try, from one bin to a quarter of the range."""
NOT_EXCLUDED = 1.92
"""Largest difference of the log-likelihood within a 95% interval: half of χ² = 3.84."""


def best_bandwidth(centres: Floats, density: Floats, effective: float, *, period: float | None = None) -> float:
    """Largest bandwidth of a Gaussian kernel within the 95% interval of the leave-one-out likelihood.

    Unlike rules that use the standard deviation, it does not merge the peaks of a torsion. Likelihood of Habbema,
    Hermans and van den Broek (1974) for binned values.

    Args:
        centres: (B,) of equal bins.
        density: (B,) in these bins.
        effective: effective number of independent values.
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
    """(K,) normalised density at ``places``, with a Gaussian kernel of this standard deviation.

    >>> narrow = smooth(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([0.0]), 0.5)
    >>> round(float(narrow[0]), 3)
    0.798
    """
    apart = places[:, None] - centres
    if period:
        apart = (apart + period / 2) % period - period / 2
    kernel = np.exp(-0.5 * (apart / bandwidth) ** 2) / (bandwidth * np.sqrt(2 * np.pi))
    return np.asarray(kernel @ (density / density.sum()))
