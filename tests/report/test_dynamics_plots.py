import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from asteroid.report.dynamics_plots import nve_energies, survival_curves
from asteroid.validation.dynamics import SurvivalAt
from asteroid.validation.survival import kaplan_meier
from tests.validation.certificates import measured

NOTHING = {"times": np.zeros(0), "total_energies": np.zeros(0), "drift": None}


@pytest.fixture(scope="module")
def dynamics():
    return measured()[2]


def survivals(**outcomes):
    found = {}
    for name, (times, failed) in outcomes.items():
        survival = kaplan_meier(times, failed)
        found[name] = SurvivalAt(300.0, survival, *survival.at_end)
    return found


def coloured(png):
    """Pixels that are neither white nor grey."""
    pixels = imread(io.BytesIO(png))[..., :3]
    return int((np.ptp(pixels, axis=2) > 0.05).sum())


def test_a_survival_curve_falls_where_replicas_failed(dynamics):
    found = survivals(none=([2.0] * 8, [False] * 8), half=([1.0] * 4 + [2.0] * 4, [True] * 4 + [False] * 4))
    pictures = [survival_curves(replace(dynamics, survival=(found[name],))) for name in ("none", "half")]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert pictures[0] != pictures[1]
    # The band of eight replicas is narrower before the first failure than after it.
    assert coloured(pictures[1]) > coloured(pictures[0])


def test_equal_data_give_equal_pictures(dynamics):
    assert survival_curves(dynamics) == survival_curves(dynamics)
    assert nve_energies(dynamics, 3) == nve_energies(dynamics, 3)


def test_both_time_steps_are_drawn(dynamics):
    without = replace(dynamics, nve_half=replace(dynamics.nve_half, **NOTHING))
    assert coloured(nve_energies(dynamics, 3)) > coloured(nve_energies(without, 3))


def test_trajectories_without_a_single_step_leave_empty_axes(dynamics):
    broken = replace(dynamics.nve, **NOTHING, reason="bond broken")
    nothing = replace(dynamics, nve=broken, nve_half=broken)
    assert nve_energies(nothing, 3).startswith(b"\x89PNG")
