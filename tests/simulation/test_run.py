import numpy as np
import pytest
import torch

from asteroid.chemistry.wall import Wall
from asteroid.configuration import Configuration
from asteroid.settings import ModelSettings
from asteroid.simulation.potentials import TRACE_FROM
from asteroid.simulation.run import simulate
from asteroid.training.model import build_model
from asteroid.units import BOLTZMANN
from tests.simulation.conftest import FromFunction, Keeper, well


class Killed(Exception):
    pass


def run(model, starts, **changes):
    options = {
        "ensemble": "nvt",
        "temperatures": [300.0] * len(starts),
        "timestep": 0.5,
        "duration": 0.05,
        "interval": 5.0,
        "seeds": range(len(starts)),
    }
    return simulate(model, starts, **(options | changes))


def kill_at(step):
    def kill(done, _):
        if done == step:
            raise Killed

    return kill


def killed_and_resumed(model, starts, *, at, **changes):
    """The replicas of a run that was killed after so many steps."""
    keeper = Keeper()
    with pytest.raises(Killed):
        run(model, starts, checkpoints=keeper, checkpoint_every=0, on_progress=kill_at(at), **changes)
    assert keeper.newest is not None
    done = []
    found = run(model, starts, checkpoints=keeper, on_progress=lambda step, _: done.append(step), **changes)
    assert done[0] == at, "it went on where the last checkpoint was, one interval before the kill"
    assert keeper.newest is not None, "whoever keeps the result clears the checkpoint, not before"
    return found


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        assert (a.reason, a.survived) == (b.reason, b.survived)
        np.testing.assert_array_equal(a.times, b.times)
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.total_energies, b.total_energies)


def test_every_frame_is_recorded_from_the_start_to_the_last_step(mace, formaldehyde):
    calls = []
    found = run(mace, [formaldehyde] * 2, duration=0.012, on_progress=lambda done, total: calls.append((done, total)))
    for replica in found:
        np.testing.assert_allclose(replica.times, [0, 5, 10, 12])
        np.testing.assert_array_equal(replica.positions[0], formaldehyde.positions)
        assert replica.positions.shape == (4, 4, 3)
        assert replica.start == formaldehyde.frame_id
        assert replica.stable
        assert replica.survived == replica.requested == 0.012
    assert calls == [(10, 24), (20, 24), (24, 24)]


@pytest.mark.long
def test_a_mace_model_conserves_energy_as_the_square_of_the_time_step(mace, formaldehyde):
    spread = []
    for timestep in (0.5, 0.25):
        (replica,) = run(mace, [formaldehyde], ensemble="nve", timestep=timestep, duration=0.1, interval=1.0)
        spread.append(np.ptp(replica.total_energies))
    # 0.2 % of the kinetic energy, and a quarter of it with half the time step, but for terms of higher order.
    assert spread[0] < 0.002 * 3 * BOLTZMANN * 300
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.1)


def test_verlet_keeps_the_molecule_at_rest_and_without_rotation(mace, formaldehyde):
    (replica,) = run(mace, [formaldehyde], ensemble="nve", temperatures=[600.0], interval=0.5)
    masses = formaldehyde.to_atoms().get_masses()
    centres = np.einsum("a,kax->kx", masses, replica.positions) / masses.sum()
    np.testing.assert_allclose(centres - centres[0], 0, atol=1e-10)
    # Angular momentum from central differences, which are exact to second order in the step: 1e-3 of that of one atom.
    velocities = (replica.positions[2:] - replica.positions[:-2]) / (replica.times[2:] - replica.times[:-2])[
        :, None, None
    ]
    arms = replica.positions[1:-1] - centres[1:-1, None]
    parts = masses[:, None] * np.cross(arms, velocities)
    assert np.abs(parts.sum(1)).max() < 1e-3 * np.abs(parts).sum(1).max()


def test_the_thermostat_gives_each_temperature_its_share_of_energy():
    # 80 atoms, each in a well of its own: 240 independent oscillators.
    rng = np.random.default_rng(0)
    cluster = Configuration([18] * 80, rng.normal(0, 0.02, (80, 3)))
    found = run(
        well(), [cluster] * 2, temperatures=[300.0, 600.0], timestep=4.0, duration=2.4, interval=40.0, seeds=[1, 2]
    )
    for replica in found:
        late = replica.times >= 600  # the memory of the thermostat is 100 fs
        # 240 modes at 45 moments that know little of each other: one standard error of 1.5 % or less.
        assert replica.temperatures[late].mean() == pytest.approx(replica.temperature, rel=0.05)
        # Equipartition: ½ k_B T of potential energy for each coordinate. BAOAB has no error of the step size here.
        expected = 0.5 * 240 * BOLTZMANN * replica.temperature
        assert replica.potential_energies[late].mean() == pytest.approx(expected, rel=0.05)


def test_a_replicas_path_depends_on_its_seed_and_not_on_the_others(formaldehyde):
    together = run(well(), [formaldehyde] * 3, seeds=[4, 5, 4])
    (alone,) = run(well(), [formaldehyde], seeds=[5])
    assert_equal([together[1]], [alone])
    assert_equal([together[0]], [together[2]])
    assert not np.array_equal(together[0].positions[-1], together[1].positions[-1])


@pytest.mark.parametrize("ensemble", ["nve", "nvt"])
def test_a_killed_simulation_goes_on_bit_for_bit(mace, formaldehyde, ensemble):
    starts = [formaldehyde] * 3
    assert_equal(killed_and_resumed(mace, starts, at=50, ensemble=ensemble), run(mace, starts, ensemble=ensemble))


@pytest.mark.long
def test_a_traced_simulation_goes_on_bit_for_bit(formaldehyde):
    settings = ModelSettings(channels=2, max_l=0, max_ell=1, correlation=1, interactions=1, radial=2, r_max=3.0)
    # One interaction, since tracing takes time for each.
    small = build_model([1, 6, 8], settings, scale=0.3, avg_num_neighbors=3.0, seed=0, dtype=torch.float64)
    starts, options = [formaldehyde] * 2, {"duration": 0.001 * TRACE_FROM / 2, "interval": 25.0}
    assert_equal(killed_and_resumed(small, starts, at=400, **options), run(small, starts, **options))


def end_at(when):
    """A stop criterion that ends the replicas listed for each of its calls, by their place among the running ones."""
    calls = iter(when)

    def stop(positions):
        ended = next(calls, ())
        return ["told to" if place in ended else None for place in range(len(positions))]

    return stop


def test_a_replica_that_ends_keeps_its_frames_while_the_others_go_on(mace, formaldehyde):
    starts = [formaldehyde] * 4
    free = run(mace, starts)
    # The first ends and stays in the batch; then two of the other three, and the batch shrinks.
    stopped = run(mace, starts, stop=end_at([(), (0,), (), (0, 2)]))
    assert [r.reason for r in stopped] == ["told to", "told to", None, "told to"]
    assert [r.survived for r in stopped] == [0.005, 0.015, 0.05, 0.015]
    for one, whole in zip(stopped, free, strict=True):
        count = len(one.times)
        # Another size of the batch may add in another order: 1e-12 after a few femtoseconds.
        np.testing.assert_allclose(one.positions, whole.positions[:count], atol=1e-10)


@pytest.mark.long
def test_a_simulation_killed_after_a_replica_ended_goes_on_bit_for_bit(mace, formaldehyde):
    def lengths(positions):
        return np.linalg.norm(positions[:, 0] - positions[:, 1], axis=1)

    starts, options = [formaldehyde] * 4, {"duration": 0.1}
    longest = sorted(lengths(replica.positions).max() for replica in run(mace, starts, **options))
    limit = (longest[1] + longest[2]) / 2
    options["stop"] = lambda positions: ["stretched" if length > limit else None for length in lengths(positions)]
    whole = run(mace, starts, **options)
    assert [replica.reason for replica in whole].count("stretched") == 2
    last = max(replica.survived for replica in whole if not replica.stable)
    assert_equal(killed_and_resumed(mace, starts, at=round(last / 0.0005) + 10, **options), whole)


def test_a_checkpoint_of_another_simulation_is_not_used(formaldehyde):
    keeper = Keeper()
    with pytest.raises(Killed):
        run(well(), [formaldehyde], seeds=[1], checkpoints=keeper, checkpoint_every=0, on_progress=kill_at(50))
    assert_equal(run(well(), [formaldehyde], seeds=[2], checkpoints=keeper), run(well(), [formaldehyde], seeds=[2]))


def test_energies_that_are_not_numbers_end_only_their_own_replica(formaldehyde):
    def hole(positions):
        forces = -3.0 * positions
        return (float("nan") if positions[0, 0] > 20 else 0.0), forces if positions[0, 0] < 20 else np.nan * forces

    far = formaldehyde.with_positions(formaldehyde.positions + np.array([30.0, 0, 0]))
    lost, kept = run(FromFunction(hole), [far, formaldehyde])
    assert (lost.reason, lost.survived, len(lost.times)) == ("energy or forces are not finite", 0.0, 0)
    assert kept.stable
    assert kept.survived == 0.05


def test_a_temperature_that_runs_away_ends_its_replica():
    pair = Configuration([2, 2], [[0, 0, 0], [0, 0, 50.0]])
    found = run(
        FromFunction(lambda p: (0.0, np.array([[0.3, 0, 0], [-0.3, 0, 0]]))), [pair], ensemble="nve", duration=0.5
    )
    assert found[0].reason == "temperature ran away: above 1500 K for 50 fs"
    assert 0.05 < found[0].survived < 0.5


def test_a_simulation_ends_when_all_its_replicas_have(formaldehyde):
    calls = []
    found = run(well(), [formaldehyde] * 2, stop=lambda p: ["no"] * len(p), on_progress=lambda d, t: calls.append(d))
    assert [r.survived for r in found] == [0.0, 0.0]
    assert calls == []


def test_starts_of_two_molecules_are_refused(formaldehyde):
    other = Configuration(formaldehyde.numbers[[1, 0, 2, 3]], formaldehyde.positions)
    with pytest.raises(ValueError, match="one molecule"):
        run(well(), [formaldehyde, other])
    with pytest.raises(ValueError, match="1 starts, 2 temperatures"):
        run(well(), [formaldehyde], temperatures=[1.0, 2.0])


def test_a_wall_keeps_what_nothing_else_holds_and_conserves_energy():
    helium = Configuration([2, 2], [[0, 0, -1.5], [0, 0, 1.5]])
    wall = Wall.around([helium])
    free = FromFunction(lambda positions: (0.0, np.zeros_like(positions)))
    options = {"ensemble": "nve", "temperatures": [600.0], "duration": 1.0, "timestep": 2.0, "interval": 10.0}
    (loose,) = run(free, [helium], **options)
    (held,) = run(free, [helium], wall=wall, **options)
    far = [np.linalg.norm(r.positions[:, 0] - r.positions[:, 1], axis=1).max() for r in (loose, held)]
    assert far[0] > 8
    # All of k_B T in the wall is 0.3 Å for each atom.
    assert far[1] < 2 * (wall.radius + 0.5)
    assert held.potential_energies.max() > 0.01
    # Velocity Verlet's oscillation at 2 fs in a wall of 1 eV/Å² for 4 u: (ω dt)²/8 of k_B T.
    assert np.ptp(held.total_energies) < 1e-3
