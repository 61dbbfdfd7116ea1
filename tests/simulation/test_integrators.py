import numpy as np
import pytest

from asteroid.simulation.integrators import thermal_momenta
from asteroid.units import BOLTZMANN


def test_momenta_start_without_linear_and_angular_momentum(formaldehyde):
    masses = formaldehyde.to_atoms().get_masses()
    momenta, freedom = thermal_momenta(formaldehyde.positions, masses, 300.0, np.random.default_rng(0))
    assert freedom == 3 * 4 - 6
    np.testing.assert_allclose(momenta.sum(axis=0), 0, atol=1e-12)
    centre = masses @ formaldehyde.positions / masses.sum()
    np.testing.assert_allclose(np.cross(formaldehyde.positions - centre, momenta).sum(axis=0), 0, atol=1e-12)
    kinetic = (momenta**2 / masses[:, None]).sum() / 2
    assert 2 * kinetic / (freedom * BOLTZMANN) == pytest.approx(300.0)


def test_a_linear_molecule_has_a_rotation_less():
    positions = np.array([[0, 0, 0], [0, 0, 0.74]])
    _, freedom = thermal_momenta(positions, np.ones(2), 300.0, np.random.default_rng(0))
    assert freedom == 1
