"""New geometries from MD with the model, rotated bonds and displaced normal modes, within the limits of the model.

An exploring trajectory stops when the molecule breaks or when the calibrated error bound exceeds a limit from the
held-out frames; labels of its last frames are the most informative. :mod:`asteroid.stages.exploration` runs this and
stores the frames, :mod:`asteroid.acquisition.criteria` picks from them. Needs torch.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from asteroid.acquisition.calibration import Calibration
from asteroid.acquisition.committee import committee_predict
from asteroid.chemistry.bonds import bonded, turning_side
from asteroid.configuration import Configuration
from asteroid.sampling.screening import Screen
from asteroid.simulation.replicas import Replica, StopCriterion

Floats = npt.NDArray[np.float64]

INTERVAL = 10.0
"""fs between checks: the period of a stretched bond to hydrogen."""

BEYOND = 3.0
"""A trajectory stops at this many times the error bound of the held-out frames. Hot frames, which are wanted, have
larger errors than sampled ones; at a factor of ten the molecule is broken."""

KEPT = 10
"""Candidates from each trajectory: the last frames of a stopped one, otherwise evenly spaced frames."""


def known_limit(calibration: Calibration) -> float:
    """Error bound, eV/Å, above which a trajectory is stopped."""
    return BEYOND * float(np.quantile(calibration.bound(calibration.uncertainty), calibration.coverage))


def region_criterion(
    screen: Screen, models: Sequence[torch.nn.Module], calibration: Calibration, like: Configuration
) -> StopCriterion:
    """Stops a replica when the molecule breaks or the error bound of the committee exceeds :func:`known_limit`.

    Args:
        models: members of the committee.
        like: any geometry of the molecule.
    """
    limit = known_limit(calibration)
    beyond = f"the error may be more than {1000 * limit:.3g} meV/Å"

    def stop(positions: Floats) -> list[str | None]:
        reasons = [screen.reason_to_drop(one) for one in positions]
        whole = [index for index, reason in enumerate(reasons) if reason is None]
        if whole:
            found = committee_predict(models, [like.with_positions(positions[index]) for index in whole])
            for index, bound in zip(whole, calibration.bound(found.uncertainty), strict=True):
                # "not <=", so that NaN stops it as well.
                if not bound <= limit:
                    reasons[index] = beyond
        return reasons

    return stop


def candidates_of(replica: Replica) -> list[int]:
    """Ascending indices of the recorded frames that become candidates, without the start, which is already known."""
    last = len(replica.times) - 1
    if last < 1:
        return []
    if not replica.stable:
        return list(range(max(1, last - KEPT + 1), last + 1))
    return sorted({int(index) for index in np.linspace(1, last, KEPT).round()})


def turned(start: Configuration, axes: Sequence[tuple[int, int]], count: int, *, seed: int) -> list[Configuration]:
    """Copies of a geometry with each rotatable bond rotated by a random angle.

    Args:
        axes: the two atoms of each rotatable bond.
    """
    bonds, rng, found = bonded(start), np.random.default_rng(seed), []
    sides = [turning_side(bonds, fixed, turning) for fixed, turning in axes]
    for _ in range(count):
        positions = start.positions.copy()
        for (fixed, turning), side in zip(axes, sides, strict=True):
            axis = positions[turning] - positions[fixed]
            rotation = _rotation(axis / np.linalg.norm(axis), rng.uniform(-np.pi, np.pi))
            positions[side] = (positions[side] - positions[turning]) @ rotation.T + positions[turning]
        found.append(start.with_positions(positions))
    return found


def _rotation(axis: Floats, angle: float) -> Floats:
    """Rotation matrix (3, 3) by Rodrigues' formula, for a unit axis and an angle in radians."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: Floats = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return rotation
