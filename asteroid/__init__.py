"""asteroid: accurate machine-learned force fields from few expensive labels and many cheap ones.

Plain Python that never imports Prefect. Start at :mod:`asteroid.stages` for the pipeline read as named steps, at
:mod:`asteroid.store` for where everything is kept, and at :mod:`asteroid.training.strategies` for the method.
"""

__version__ = "0.1.0"
