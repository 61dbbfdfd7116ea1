"""Imports of processes that train, simulate or validate a model; they take ten CPU seconds, once per run.

For the ``preload`` of :func:`asteroid.processes.call_in_process`. Nothing else imports this module.
"""

from asteroid.stages.common import import_mace

import_mace()

import asteroid.report.write  # noqa: E402
import asteroid.simulation.run  # noqa: E402
import asteroid.training.run  # noqa: E402, F401
