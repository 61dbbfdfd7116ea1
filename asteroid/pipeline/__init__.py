"""The pipeline from a manifest to certified models: which steps there are, and what follows what.

:mod:`~asteroid.pipeline.steps` is the table of steps, :mod:`~asteroid.pipeline.order` their order, and
:mod:`~asteroid.pipeline.local` runs them on this machine. ``flows`` runs the same steps in the same order on Prefect's
work pools. What a step does is in :mod:`asteroid.stages`.
"""
