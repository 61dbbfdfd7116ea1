"""Molecular dynamics of many replicas of a molecule at once, with one model.

:mod:`asteroid.validation` judges models by it, :mod:`asteroid.acquisition` explores with it.

- :mod:`~asteroid.simulation.run`: ``simulate``, all replicas from their starts to their ends;
- :mod:`~asteroid.simulation.replicas`: what it returns, and the rule by which a replica ends early;
- :mod:`~asteroid.simulation.potentials`: energies and forces of all replicas in one pass, as TorchSim asks for them;
- :mod:`~asteroid.simulation.integrators`: starting velocities and one step in time;
- :mod:`~asteroid.simulation.trajectories`: replicas as files.
"""
