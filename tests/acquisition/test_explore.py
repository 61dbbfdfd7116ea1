"""Where an exploring model goes: turned bonds keep bond lengths, stopped trajectories give their last frames."""

import numpy as np
import pytest
import torch

from asteroid.acquisition.calibration import calibrate
from asteroid.acquisition.committee import committee_predict
from asteroid.acquisition.explore import (
    BEYOND,
    KEPT,
    candidates_of,
    known_limit,
    region_criterion,
    turned,
)
from asteroid.chemistry.bonds import bonded, distances
from asteroid.configuration import Configuration
from asteroid.sampling.screening import Screen
from asteroid.simulation.replicas import Replica
from asteroid.training.model import build_model
from tests.training.conftest import tiny_settings

METHANOL = Configuration(
    [6, 8, 1, 1, 1, 1],
    [[-0.7, 0, 0], [0.7, 0.1, 0], [-1.1, 0.5, 0.9], [-1.1, 0.5, -0.9], [-1.0, -1.0, 0], [1.0, -0.8, 0]],
)


def replica(frames: int, reason: str | None) -> Replica:
    series = np.arange(float(frames))
    return Replica(
        ensemble="nvt",
        temperature=300.0,
        timestep=0.5,
        seed=0,
        start="",
        times=10 * series,
        positions=np.zeros((frames, 3, 3)),
        potential_energies=series,
        total_energies=series,
        temperatures=series,
        reason=reason,
        survived=0.01 * frames,
        requested=1.0,
    )


def test_turned_bonds_keep_all_bond_lengths_and_angles_and_change_the_torsion() -> None:
    bonds = bonded(METHANOL)
    # Two atoms on one neighbour have their distance fixed by two bonds and the angle between them.
    fixed = bonds | (bonds.astype(int) @ bonds.astype(int) > 0)
    before = distances(METHANOL.positions)
    found = turned(METHANOL, [(0, 1)], 20, seed=3)
    assert len(found) == 20
    for one in found:
        assert distances(one.positions)[fixed] == pytest.approx(before[fixed])
    torsions = [distances(one.positions)[2, 5] for one in found]
    assert np.ptp(torsions) > 0.5, "the hydrogens meet and part as the bond turns"
    assert [one.frame_id for one in turned(METHANOL, [(0, 1)], 20, seed=3)] == [one.frame_id for one in found]


def test_a_stopped_trajectory_gives_its_last_frames_and_a_finished_one_frames_from_all_of_it() -> None:
    stopped, finished = candidates_of(replica(51, "bond broken")), candidates_of(replica(51, None))
    assert stopped == list(range(51 - KEPT, 51))
    assert len(finished) == KEPT
    assert (finished[0], finished[-1]) == (1, 50)
    # The start is known already.
    assert candidates_of(replica(3, "bond broken")) == [1, 2]
    assert candidates_of(replica(1, "bond broken")) == []


def test_the_limit_is_a_multiple_of_what_holds_for_most_held_out_frames() -> None:
    uncertainty = np.linspace(0.01, 0.1, 10)
    calibration = calibrate(uncertainty, 2 * uncertainty)
    within = (calibration.bound(uncertainty) <= known_limit(calibration) / BEYOND).mean()
    assert within == pytest.approx(0.9)


def test_a_replica_ends_where_the_molecule_does_or_where_its_committee_is_lost() -> None:
    models = [
        build_model(
            [1, 6, 8],
            tiny_settings().model,
            scale=1.0,
            avg_num_neighbors=5.0,
            seed=seed,
            dtype=torch.float64,
        )
        for seed in range(2)
    ]
    broken = METHANOL.positions.copy()
    broken[5] += 3.0
    (uncertainty,) = committee_predict(models, [METHANOL]).uncertainty
    screen = Screen.of(METHANOL)
    for known, expected in ((uncertainty, None), (uncertainty / 100, "the error may be more than")):
        calibration = calibrate([known] * 20, [known] * 20)
        reasons = region_criterion(screen, models, calibration, METHANOL)(np.stack([METHANOL.positions, broken]))
        assert reasons[1] == "bond broken"
        assert reasons[0] is expected or (reasons[0] or "").startswith(expected or "!")
