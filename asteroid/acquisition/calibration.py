"""From the disagreement of a committee to a bound on its error, by frames that it was not trained on.

Split conformal prediction: whatever the disagreement is worth, the bound holds for the wanted part of frames like the
held-out ones (Lei et al., doi:10.1080/01621459.2017.1307116). :mod:`asteroid.acquisition.explore` stops trajectories by
it, and the report plots it.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from asteroid.store.round_records import CalibrationRecord

Floats = npt.NDArray[np.float64]

OFFSET = 0.1
"""Part of the median uncertainty that is added to each: a frame on which a committee agrees by accident would otherwise
set the scale of all."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """How far the error of a frame may be off, given the committee's uncertainty.

    Args:
        uncertainty: (V,) eV/Å, of the held-out frames.
        error: (V,) eV/Å, of the same frames.
        scale: error per uncertainty that the wanted part stays below.
        offset: eV/Å, added to each uncertainty first.
        coverage: part of new frames for which the bound is to hold.
        guaranteed: part for which it does, on average over draws of held-out frames; less than ``coverage`` where these
            are too few.
        achieved: part of the held-out frames for which it holds when each is left out of the calibration; None for one.
    """

    uncertainty: Floats
    error: Floats
    scale: float
    offset: float
    coverage: float
    guaranteed: float
    achieved: float | None

    def bound(self, uncertainty: npt.ArrayLike) -> Floats:
        """(M,) eV/Å that the error of a frame stays below with the probability ``guaranteed``."""
        return self.scale * (np.asarray(uncertainty, dtype=float) + self.offset)

    def record(self, *, shared: bool) -> CalibrationRecord:
        """Everything as plain values.

        Args:
            shared: whether the held-out frames also stopped trainings.
        """
        fields = asdict(self) | {"uncertainty": tuple(self.uncertainty.tolist()), "error": tuple(self.error.tolist())}
        return CalibrationRecord(**fields, shared=shared)


def calibrate(uncertainty: npt.ArrayLike, error: npt.ArrayLike, *, coverage: float = 0.9) -> Calibration:
    """The scale at which uncertainties become upper bounds on errors.

    Args:
        uncertainty: (V,) eV/Å, of held-out frames.
        error: (V,) eV/Å, what the model is off by there; of the kind that is to be bounded.
        coverage: part of new frames for which the bound is to hold.

    Raises:
        ValueError: without a held-out frame, or where the two do not belong together.

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
    """The ⌈(V + 1) coverage⌉-th smallest score; the largest where there are too few."""
    # 1e-9: 0.9 × 10 must not count as more than 9.
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.sort(scores)[min(rank, len(scores)) - 1])
