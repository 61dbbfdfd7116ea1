"""The pipeline from a manifest to certified models.

:mod:`~asteroid.pipeline.steps` is the table of steps, :mod:`~asteroid.pipeline.order` their order, and
:mod:`~asteroid.pipeline.local` runs them on this machine. ``flows`` runs the same steps in the same order on Prefect's
work pools. :mod:`asteroid.stages` has the functions of the steps.
"""
