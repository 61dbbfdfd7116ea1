"""Molecular dynamics of many replicas of a molecule at once, with one model.

Used for validation (:mod:`asteroid.validation`) and exploration (:mod:`asteroid.acquisition`).

- :mod:`~asteroid.simulation.run`: ``simulate``, which runs all replicas;
- :mod:`~asteroid.simulation.replicas`: its result, and the type of the function that may end a replica early;
- :mod:`~asteroid.simulation.potentials`: energies and forces of all replicas in one pass, for TorchSim;
- :mod:`~asteroid.simulation.integrators`: starting velocities and one time step;
- :mod:`~asteroid.simulation.trajectories`: replicas in Parquet files;
- :mod:`~asteroid.simulation.watch`: stops MD of ASE where the model leaves what it knows.
"""
