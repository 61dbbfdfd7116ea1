"""A SMILES of several molecules is a cluster: fragments in contact, at minima of the cheap level, and kept there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asteroid.chemistry.bonds import bonded, distances
from asteroid.chemistry.fragments import contact_sums, fragments, in_contact, is_cluster
from asteroid.chemistry.wall import Wall
from asteroid.configuration import Configuration
from asteroid.engines import Labeller
from asteroid.errors import AsteroidError
from asteroid.groups import Group
from asteroid.manifest import MoleculeSettings, SamplingSettings
from asteroid.sampling import sample, starting_configuration
from asteroid.sampling.batch import Batch, Outcome, make_batch
from asteroid.sampling.clusters import TOUCH, place
from asteroid.sampling.conformers import find_conformers
from asteroid.sampling.plan import _conformer_batch
from asteroid.sampling.screening import APART, Screen
from asteroid.store import Store

DIMER = Configuration(
    [8, 1, 1, 8, 1, 1],
    [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0], [2.9, 0, 0], [3.2, 0.5, 0.77], [3.2, 0.5, -0.77]],
)


def moved(by: float) -> np.ndarray:
    """The water dimer's acceptor pulled away by so many Å."""
    positions = DIMER.positions.copy()
    positions[3:, 0] += by
    return positions


def small(smiles: str, **others: object) -> MoleculeSettings:

    return MoleculeSettings(
        name="cluster", smiles=smiles, sampling=SamplingSettings(conformers=1).model_copy(update=others)
    )


@pytest.mark.parametrize("smiles", ["O.O", "[NH4+].[Cl-]", "O.CO", "c1ccccc1.c1ccccc1", "O.O.O.[Na+].[Cl-]"])
def test_fragments_of_a_smiles_start_in_contact(smiles: str) -> None:
    start = starting_configuration(small(smiles))
    ratios = distances(start.positions) / contact_sums(start.numbers)
    found = fragments(start)
    between = np.where(np.not_equal.outer(found, found), ratios, np.inf)
    assert found.max() == smiles.count(".")
    assert between.min() == pytest.approx(TOUCH)
    assert in_contact(start.positions, contact_sums(start.numbers))


def test_arrangements_differ_and_the_same_seed_gives_the_same() -> None:
    water = np.array([8, 1, 1]), [DIMER.positions[:3]]
    first, again, other = (np.concatenate(place([water, water], seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.sort(distances(first).ravel()) - np.sort(distances(other).ravel())).max() > 0.1


@pytest.fixture(scope="module")
def water_dimer(labeller: Labeller) -> Configuration:
    return find_conformers(small("O.O"), labeller)[0][0]


@pytest.fixture(scope="module")
def ammonium_chloride(labeller: Labeller) -> Configuration:
    return find_conformers(small("[NH4+].[Cl-]"), labeller)[0][0]


def test_the_water_dimer_finds_its_hydrogen_bond(water_dimer: Configuration) -> None:
    minimum = water_dimer
    lengths = distances(minimum.positions)
    oxygens = lengths[0, 1]
    # GFN2: 2.84 Å; the experiment says 2.98 (doi:10.1063/1.439795).
    assert 2.8 < oxygens < 2.95
    between = np.where(np.not_equal.outer(fragments(minimum), fragments(minimum)), lengths, np.inf)[:2, 2:]
    assert (between < 2.2).sum() == 1


def test_ammonium_chloride_is_ammonia_and_hydrogen_chloride_in_a_vacuum(ammonium_chloride: Configuration) -> None:
    bonds, numbers = bonded(ammonium_chloride), ammonium_chloride.numbers
    assert [bonds[np.flatnonzero(numbers == z)[0]].sum() for z in (7, 17)] == [3, 1]
    assert is_cluster(ammonium_chloride)


def test_a_proton_may_go_back_and_another_may_come(ammonium_chloride: Configuration) -> None:
    screen, numbers = Screen.of(ammonium_chloride), ammonium_chloride.numbers
    positions, bonds = ammonium_chloride.positions, bonded(ammonium_chloride)
    nitrogen, chlorine = (int(np.flatnonzero(numbers == z)[0]) for z in (7, 17))
    proton = int(np.flatnonzero(bonds[chlorine])[0])
    ion = positions.copy()
    ion[proton] += (1.05 - np.linalg.norm(ion[proton] - ion[nitrogen])) * _unit(ion[proton] - ion[nitrogen])
    assert screen.reason_to_drop(ion) is None
    away = positions.copy()
    away[proton] = away[chlorine] + 2.3 * _unit(away[chlorine] - away[nitrogen])
    assert screen.reason_to_drop(away) == "bond broken"


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(("by", "reason"), [(-1.0, "bond formed"), (0.0, None), (1.5, None), (3.0, APART)])
def test_fragments_may_move_but_not_part_or_react(by: float, reason: str | None) -> None:
    # An oxygen that comes as near as 1.9 Å has passed the hydrogen between; at 1.3 Å two oxygens are bonded.
    positions = moved(by)
    if reason == "bond formed":
        positions[3:, 0] -= 0.6
        positions[1] = positions[0] + [0, 0, 0.96]
    assert Screen.of(DIMER).reason_to_drop(positions) == reason


def test_a_chain_of_fragments_is_connected_by_its_links() -> None:
    row = Configuration([2, 2, 2], [[0, 0, 0], [0, 0, 3.0], [0, 0, 6.0]])
    assert fragments(row).tolist() == [0, 1, 2]
    assert in_contact(row.positions, contact_sums(row.numbers))
    assert not in_contact(row.positions * [1, 1, 1.5], contact_sums(row.numbers))


def test_the_forces_of_the_wall_are_minus_the_gradient_of_its_energy_and_move_nothing_as_a_whole() -> None:
    wall = Wall.around([DIMER])
    assert wall is not None
    assert not wall.acts(DIMER.positions)
    positions = moved(3.0)
    assert wall.acts(positions)
    _, forces = wall.push(positions)
    numeric = np.empty_like(forces)
    for index in np.ndindex(*positions.shape):
        shift = np.zeros_like(positions)
        shift[index] = 1e-5
        numeric[index] = -(wall.push(positions + shift)[0] - wall.push(positions - shift)[0]) / 2e-5
    # Central differences of a quadratic function, with 1e-16 / 1e-5 of rounding.
    np.testing.assert_allclose(forces, numeric, atol=1e-9)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cross(positions, forces).sum(axis=0), 0, atol=1e-12)


def test_a_single_molecule_has_no_wall() -> None:
    assert Wall.around([Configuration([8, 1, 1], DIMER.positions[:3])]) is None


@pytest.fixture(scope="module")
def pushed(labeller: Labeller) -> tuple[Batch, Outcome]:
    """Two waters that start apart and that a tight wall pushes together."""
    wall = Wall.around([DIMER])
    assert wall is not None
    batch = Batch(
        name="pushed-8",
        group=Group(0, 0, "md", 300.0, "train", 8),
        group_name="pushed",
        seed=1,
        conformer=DIMER.with_positions(moved(3.0)),
        parameters={"timestep": 1.0, "equilibration": 1.0, "interval": 12.0},
        level=labeller.level,
        engine=None,
        wall=replace(wall, radius=2.3),
    )
    return batch, make_batch(batch)


def test_frames_of_a_cluster_that_is_apart_are_replaced_by_later_ones(pushed: tuple[Batch, Outcome]) -> None:
    batch, outcome = pushed
    screen = Screen.of(batch.conformer)
    assert set(outcome.dropped) == {APART}
    assert len(outcome.frames) == batch.group.frames
    assert all(screen.reason_to_drop(f.configuration.positions) is None for f in outcome.frames)


def test_frames_where_the_wall_acts_are_not_called_boltzmann_distributed(pushed: tuple[Batch, Outcome]) -> None:
    batch, outcome = pushed
    assert batch.wall is not None
    acts = [bool(batch.wall.acts(f.configuration.positions)) for f in outcome.frames]
    assert [f.origin.temperature for f in outcome.frames] == [None if acting else 300.0 for acting in acts]
    assert 0 < sum(acts) < len(acts)


def test_a_store_with_fragments_far_apart_is_refused_in_one_sentence(tmp_path: Path) -> None:
    store, molecule = Store(tmp_path), small("O.O")
    store.add_frames("cluster", [], batch=_conformer_batch(molecule, {}))
    with pytest.raises(AsteroidError, match="of an earlier version"):
        sample(store, molecule)
