"""The only package that imports Prefect: each flow and task is a thin call into :mod:`asteroid.stages`.

:mod:`flows.full_pipeline` orders the stages, :mod:`flows.stages` holds the flows that workers run, :mod:`flows.site`
decides where they run, and :mod:`flows.local` runs everything on this machine without a server.
"""
