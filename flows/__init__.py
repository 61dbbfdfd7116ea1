"""The order of the stages, run on this machine or as flows on workers; the only package that imports Prefect.

:mod:`flows.pipeline` orders the stages (:mod:`flows.labels`, :mod:`flows.rounds`), :mod:`flows.steps` does one. On this
machine (:mod:`flows.local`, :mod:`flows.site`) Prefect is not imported. With workers, :mod:`flows.full_pipeline` and
:mod:`flows.stages` are the flows, :mod:`flows.pools` submits them, and :mod:`flows.artifacts` fills Prefect's UI.
"""

import logging

# Prefect gives its handlers to the loggers named in PREFECT_LOGGING_EXTRA_LOGGERS, but not its level.
for _name in ("asteroid", "flows"):
    logging.getLogger(_name).setLevel(logging.INFO)
