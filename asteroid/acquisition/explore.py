"""Geometries that a model has not seen: its own MD, turned bonds and kicked modes, as far as it can be believed.

An exploring trajectory ends where the molecule does, or where the calibrated bound of the error leaves what is known
from held-out frames; its last frames are what a label tells most about. :mod:`asteroid.stages.exploration` runs this
and stores the frames, :mod:`asteroid.acquisition.criteria` picks from them. Needs torch.
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
from asteroid.simulation.replicas import Judge, Replica

Floats = npt.NDArray[np.float64]

INTERVAL = 10.0
"""fs between the frames that are judged: the period of a stretched bond to hydrogen."""

BEYOND = 3.0
"""Times the bound of the held-out frames at which a trajectory is stopped: hot frames are known less well than those
that sampling gave, and are what is looked for; ten times as badly known is no molecule any more."""

KEPT = 10
"""Frames of a trajectory that become candidates: the last ones of a stopped trajectory, else evenly spaced."""


def known_limit(calibration: Calibration) -> float:
    """eV/Å: the bound of the error at which a trajectory leaves the region that the model knows."""
    return BEYOND * float(np.quantile(calibration.bound(calibration.uncertainty), calibration.coverage))


def region_judge(
    screen: Screen, models: Sequence[torch.nn.Module], calibration: Calibration, like: Configuration
) -> Judge:
    """Ends a replica where it is no longer the molecule, or where the committee no longer vouches for it.

    Args:
        models: of the committee.
        like: any geometry of the molecule.
    """
    limit = known_limit(calibration)
    beyond = f"the error may be more than {1000 * limit:.3g} meV/Å"

    def judge(positions: Floats) -> list[str | None]:
        reasons = [screen.reason_to_drop(one) for one in positions]
        whole = [index for index, reason in enumerate(reasons) if reason is None]
        if whole:
            found = committee_predict(models, [like.with_positions(positions[index]) for index in whole])
            for index, bound in zip(whole, calibration.bound(found.uncertainty), strict=True):
                # Written so that a bound that is no number ends it as well.
                if not bound <= limit:
                    reasons[index] = beyond
        return reasons

    return judge


def candidates_of(replica: Replica) -> list[int]:
    """Indices of the recorded frames that become candidates, ascending; never the start, which is known already."""
    last = len(replica.times) - 1
    if last < 1:
        return []
    if not replica.stable:
        return list(range(max(1, last - KEPT + 1), last + 1))
    return sorted({int(index) for index in np.linspace(1, last, KEPT).round()})


def turned(start: Configuration, axes: Sequence[tuple[int, int]], count: int, *, seed: int) -> list[Configuration]:
    """Copies of a geometry with its rotatable bonds turned, each by an angle of its own and of the whole circle.

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
    """(3, 3) by Rodrigues' formula; the axis of length 1, the angle in radians."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: Floats = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return rotation
