"""The pipeline on Prefect's work pools; the only package that imports Prefect.

:mod:`flows.full_pipeline` is the parent flow, with the order of :mod:`asteroid.pipeline.order`; :mod:`flows.pools`
submits its steps to workers, several to a flow run (:mod:`flows.batches`), which run :mod:`flows.step`;
:mod:`flows.artifacts` shows results in Prefect's UI.
"""

import logging

# Prefect adds its handlers to the loggers in PREFECT_LOGGING_EXTRA_LOGGERS, but does not set their level.
for _name in ("asteroid", "flows"):
    logging.getLogger(_name).setLevel(logging.INFO)
