"""The only package that imports Prefect: each flow and task is a thin call into :mod:`asteroid.stages`.

:mod:`flows.full_pipeline` orders the stages, :mod:`flows.stages` holds the flows that workers run, :mod:`flows.site`
decides where they run, and :mod:`flows.local` runs everything on this machine without a server.
"""

import logging

# Prefect gives its handlers to the loggers named in PREFECT_LOGGING_EXTRA_LOGGERS, but not its level.
for _name in ("asteroid", "flows"):
    logging.getLogger(_name).setLevel(logging.INFO)
