"""Upper bound on the error from the disagreement of a committee, calibrated on held-out frames.

Split conformal prediction: however good the disagreement is, the bound holds for the requested part of frames like the
held-out ones (Lei et al., doi:10.1080/01621459.2017.1307116). :mod:`asteroid.acquisition.explore` stops trajectories
with it, and the report plots it.
"""

import math

import numpy as np
import numpy.typing as npt

from asteroid.store.round_records import Calibration as Calibration

Floats = npt.NDArray[np.float64]

OFFSET = 0.1
"""Part of the median uncertainty that is added to every uncertainty. Otherwise a frame on which the committee agrees by
accident would set the scale."""


def calibrate(
    uncertainty: npt.ArrayLike, error: npt.ArrayLike, *, coverage: float = 0.9, shared: bool = False
) -> Calibration:
    """Calibrate the bound on held-out frames.

    Args:
        uncertainty: (V,) eV/Å, of held-out frames.
        error: (V,) eV/Å, of the model on these frames.
        coverage: part of new frames for which the bound should hold.
        shared: whether the held-out frames were also used for early stopping.

    Raises:
        ValueError: without held-out frames, or for arrays of different shapes.

    >>> found = calibrate([0.01, 0.02, 0.03, 0.04], [0.02, 0.04, 0.06, 0.09], coverage=0.8)
    >>> round(found.scale, 4), round(float(found.bound([0.04])[0]), 4)
    (2.1176, 0.09)
    """
    u, e = np.asarray(uncertainty, dtype=float), np.asarray(error, dtype=float)
    if u.ndim != 1 or not len(u) or u.shape != e.shape:
        raise ValueError(f"uncertainties of shape {u.shape} and errors of shape {e.shape}; expected (V,) twice, V ≥ 1")
    offset = OFFSET * float(np.median(u)) or np.finfo(float).tiny
    scores = e / (u + offset)
    left_out = [_scale(np.delete(scores, i), coverage) for i in range(len(scores))] if len(scores) > 1 else []
    achieved = float(np.mean(scores <= left_out)) if left_out else None
    possible = len(scores) / (len(scores) + 1)
    return Calibration(
        uncertainty=tuple(u.tolist()),
        error=tuple(e.tolist()),
        scale=_scale(scores, coverage),
        offset=offset,
        coverage=coverage,
        guaranteed=min(coverage, possible),
        achieved=achieved,
        shared=shared,
    )


def _scale(scores: Floats, coverage: float) -> float:
    """The ⌈(V + 1) coverage⌉-th smallest score; the largest with too few scores."""
    # 1e-9: rounding must not make 0.9 × 10 larger than 9.
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.sort(scores)[min(rank, len(scores)) - 1])
