"""Upper bound on the error from the disagreement of a committee, calibrated on held-out frames.

Split conformal prediction: however good the disagreement is, the bound holds for the requested part of frames like the
held-out ones (Lei et al., doi:10.1080/01621459.2017.1307116). :mod:`asteroid.acquisition.explore` stops trajectories
with it, and the report plots it.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from asteroid.store.round_records import CalibrationRecord

Floats = npt.NDArray[np.float64]

OFFSET = 0.1
"""Part of the median uncertainty that is added to every uncertainty. Otherwise a frame on which the committee agrees by
accident would set the scale."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Upper bound on the error of a frame as a function of the committee's uncertainty.

    Args:
        uncertainty: (V,) eV/Å, of the held-out frames.
        error: (V,) eV/Å, of the same frames.
        scale: ratio of error bound to uncertainty.
        offset: eV/Å, added to each uncertainty first.
        coverage: part of new frames for which the bound should hold.
        guaranteed: part for which it holds on average over draws of held-out frames; below ``coverage`` with too few
            held-out frames.
        achieved: part of the held-out frames for which it holds by leave-one-out calibration; None with a single frame.
    """

    uncertainty: Floats
    error: Floats
    scale: float
    offset: float
    coverage: float
    guaranteed: float
    achieved: float | None

    def bound(self, uncertainty: npt.ArrayLike) -> Floats:
        """Upper bound (M,) eV/Å on the error of a frame; it holds with the probability ``guaranteed``."""
        return self.scale * (np.asarray(uncertainty, dtype=float) + self.offset)

    def record(self, *, shared: bool) -> CalibrationRecord:
        """The calibration as a record of plain values.

        Args:
            shared: whether the held-out frames were also used for early stopping.
        """
        fields = asdict(self) | {"uncertainty": tuple(self.uncertainty.tolist()), "error": tuple(self.error.tolist())}
        return CalibrationRecord(**fields, shared=shared)


def calibrate(uncertainty: npt.ArrayLike, error: npt.ArrayLike, *, coverage: float = 0.9) -> Calibration:
    """Calibrate the bound on held-out frames.

    Args:
        uncertainty: (V,) eV/Å, of held-out frames.
        error: (V,) eV/Å, of the model on these frames.
        coverage: part of new frames for which the bound should hold.

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
    return Calibration(u, e, _scale(scores, coverage), offset, coverage, min(coverage, possible), achieved)


def _scale(scores: Floats, coverage: float) -> float:
    """The ⌈(V + 1) coverage⌉-th smallest score; the largest with too few scores."""
    # 1e-9: rounding must not make 0.9 × 10 larger than 9.
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.sort(scores)[min(rank, len(scores)) - 1])
