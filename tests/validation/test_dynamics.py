from dataclasses import replace

import numpy as np
import pytest

from asteroid.configuration import Configuration
from asteroid.settings import ValidationSettings
from asteroid.units import BOLTZMANN, FEMTOSECOND
from asteroid.validation.dynamics import (
    SAMPLES,
    energy_drift,
    run_dynamics,
    run_trajectory,
    set_velocities,
)
from tests.validation.conftest import Broken, Spring


def run(calculator, start, **changes):
    options = {"ensemble": "nve", "temperature": 300.0, "timestep": 0.25, "duration": 0.5, "seed": 1}
    return run_trajectory(calculator, start, **(options | changes))


def test_a_spring_conserves_energy(hydrogen):
    trajectory = run(Spring(), hydrogen)
    assert trajectory.stable
    assert trajectory.survived == trajectory.requested
    # One degree of freedom at 300 K holds 13 meV per atom; a hundredth of that in a picosecond would be a leak.
    assert abs(trajectory.drift) < 1e-4


def test_the_error_of_verlet_grows_as_the_square_of_the_time_step(hydrogen):
    fluctuations = [run(Spring(), hydrogen, timestep=step, duration=0.2).fluctuation for step in (0.1, 0.2, 0.4)]
    # Verlet follows a Hamiltonian that differs from the true one by the square of the step, and smaller terms.
    assert fluctuations[1] / fluctuations[0] == pytest.approx(4, rel=0.1)
    assert fluctuations[2] / fluctuations[1] == pytest.approx(4, rel=0.1)


def test_half_of_the_starting_temperature_stays_kinetic(hydrogen):
    # The virial theorem of a harmonic potential, started at its minimum.
    assert run(Spring(), hydrogen, duration=1.0).mean_temperature == pytest.approx(150, rel=0.05)


def test_the_thermostat_holds_its_temperature(hydrogen):
    found = run(Spring(k=5.0), hydrogen, ensemble="nvt", duration=8.0, timestep=1.0).mean_temperature
    # Six degrees of freedom over 4 ps with a memory of 50 fs: one standard error is about 9%.
    assert found == pytest.approx(300, rel=0.27)


def test_the_drift_of_a_leaking_potential_is_measured():
    # A constant force on both atoms that no energy accounts for: the total energy grows by (F t)²/2M.
    pair = Configuration([2, 2], [[0, 0, 0], [0, 0, 50.0]])
    trajectory = run(Broken(lambda p: np.array([[0, 0, 0.005], [0, 0, 0.005]])), pair, temperature=20.0, duration=0.1)
    gained = (0.01 * 100 * FEMTOSECOND) ** 2 / (2 * 2 * 4.002602)
    assert trajectory.total_energies[-1] - trajectory.total_energies[0] == pytest.approx(gained, rel=1e-3)
    # The straight line through a parabola has its mean slope, per atom.
    assert trajectory.drift == pytest.approx(gained / 2 / 0.1, rel=0.01)


def test_drift_and_fluctuation_are_recovered_from_a_made_series():
    times = np.linspace(0, 1000, 2001)
    energies = -4000 + 0.03 * times / 1000 + 0.006 * np.sin(times)
    drift, fluctuation = energy_drift(times, energies, atoms=3)
    assert drift == pytest.approx(0.01, rel=0.02)
    assert fluctuation == pytest.approx(0.002 / np.sqrt(2), rel=0.02)


def test_a_potential_that_pushes_apart_breaks_the_bond(hydrogen):
    trajectory = run(Broken(lambda p: np.array([[0, 0, -5.0], [0, 0, 5.0]])), hydrogen)
    assert not trajectory.stable
    assert trajectory.reason.startswith("bond broken: H0–H1 at ")
    assert trajectory.survived < trajectory.requested
    assert trajectory.drift is None


def test_a_potential_that_pulls_together_fuses_the_atoms(hydrogen):
    trajectory = run(Broken(lambda p: np.array([[0, 0, 5.0], [0, 0, -5.0]])), hydrogen, timestep=0.1)
    assert trajectory.reason.startswith("atoms fused: H0–H1 at ")


def test_forces_that_are_not_numbers_end_the_trajectory(hydrogen):
    def forces(positions):
        stretched = np.linalg.norm(positions[1] - positions[0]) > 0.76
        return np.full((2, 3), np.nan) if stretched else np.array([[0, 0, -1.0], [0, 0, 1.0]])

    trajectory = run(Broken(forces), hydrogen)
    assert trajectory.reason == "energy or forces are not finite"
    assert np.isfinite(trajectory.total_energies).all()


def test_a_runaway_temperature_ends_the_trajectory():
    # Far apart, no bond can break: only the temperature tells.
    pair = Configuration([2, 2], [[0, 0, 0], [0, 0, 50.0]])
    trajectory = run(Broken(lambda p: np.array([[0.3, 0, 0], [-0.3, 0, 0]])), pair)
    assert trajectory.reason == "temperature ran away: above 1500 K for 50 fs"


def test_a_calculator_that_fails_ends_the_trajectory_with_its_words(hydrogen):
    def forces(positions):
        raise RuntimeError("SCF did\nnot converge")

    trajectory = run(Broken(forces), hydrogen)
    assert trajectory.reason == "the calculator failed: SCF did not converge"
    assert trajectory.survived == 0
    assert len(trajectory.times) == 0


def swing(positions):
    """A spring that carries the hydrogen at index 1 from z = 1 Å to z = 2 Å and back."""
    forces = np.zeros_like(positions)
    forces[1, 2] = -20.0 * (positions[1, 2] - 1.5)
    return forces


def test_a_hydrogen_that_changes_its_oxygen_has_not_broken_a_bond():
    shared = Configuration([8, 1, 8], [[0, 0, 0], [0, 0, 1.0], [0, 0, 2.6]], charge=1)
    # Cold, so that it flies straight.
    assert run(Broken(swing), shared, duration=0.03, temperature=1.0).stable
    alone = Configuration([8, 1], [[0, 0, 0], [0, 0, 1.0]], charge=1)
    assert run(Broken(swing), alone, duration=0.03, temperature=1.0).reason.startswith("bond broken: O0–H1")


def test_velocities_start_without_linear_and_angular_momentum(ethanol):
    atoms = ethanol.to_atoms()
    freedom = set_velocities(atoms, 300.0, np.random.default_rng(0))
    assert freedom == 3 * 9 - 6
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(atoms.get_angular_momentum(), 0, atol=1e-12)
    assert 2 * atoms.get_kinetic_energy() / (freedom * BOLTZMANN) == pytest.approx(300.0)


def test_ethanol_with_gfn1_survives_at_every_temperature(ethanol, gfn):
    calls = []
    settings = ValidationSettings(nve_ps=0.1, nvt_ps=0.05, temperatures=(300.0, 500.0), seed=7)
    dynamics = run_dynamics(gfn(1), ethanol, settings, on_progress=lambda done, total: calls.append((done, total)))
    assert dynamics.stable_fraction == 1.0
    assert dynamics.nve.temperature == 500.0
    assert [t.temperature for t in dynamics.nvt] == [300.0, 500.0]
    assert len({dynamics.nve.seed, *(t.seed for t in dynamics.nvt)}) == 3
    assert calls == [(done, 400) for done in range(1, 401)]
    # GFN1's own forces: an SCF converged to 1e-6 leaks far less than the threshold of a certificate, 1e-3.
    assert abs(dynamics.nve.drift) < 1e-3


def test_equal_seeds_give_equal_trajectories(hydrogen):
    first, second = (run(Spring(), hydrogen, ensemble="nvt", seed=3, duration=0.05) for _ in range(2))
    np.testing.assert_array_equal(first.temperatures, second.temperatures)
    other = run(Spring(), hydrogen, ensemble="nvt", seed=4, duration=0.05)
    assert not np.array_equal(first.temperatures, other.temperatures)


def test_series_are_thinned_for_plots(hydrogen):
    trajectory = run(Spring(), hydrogen, duration=0.1, timestep=0.1)
    assert SAMPLES / 2 < len(trajectory.times) <= SAMPLES


def test_a_stable_fraction_counts_every_trajectory(hydrogen):
    settings = ValidationSettings(nve_ps=0.05, nvt_ps=0.05, temperatures=(300.0,))
    dynamics = run_dynamics(Spring(), hydrogen, settings)
    failed = replace(dynamics.nvt[0], reason="bond broken")
    assert replace(dynamics, nvt=(failed,)).stable_fraction == 0.5


def test_kinetic_energy_of_the_series_belongs_to_its_temperature(hydrogen):
    trajectory = run(Spring(), hydrogen)
    # At the start, at the spring's rest length, all energy is kinetic, in one degree of freedom.
    assert trajectory.total_energies[0] == pytest.approx(0.5 * BOLTZMANN * trajectory.temperatures[0], rel=1e-9)
