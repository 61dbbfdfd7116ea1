"""The pipeline on Prefect's work pools; the only package that imports Prefect.

:mod:`flows.full_pipeline` is the parent flow, in the order of :mod:`asteroid.pipeline.order`; :mod:`flows.pools`
submits its steps to workers, which run the flow of :mod:`flows.step`; :mod:`flows.artifacts` fills Prefect's UI.
"""

import logging

# Prefect gives its handlers to the loggers named in PREFECT_LOGGING_EXTRA_LOGGERS, but not its level.
for _name in ("asteroid", "flows"):
    logging.getLogger(_name).setLevel(logging.INFO)
