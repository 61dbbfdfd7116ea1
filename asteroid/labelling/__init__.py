"""Campaigns of labels: worker processes, attempts, retries, the audit of each label and the review of all together.

What computes a label is an engine (:mod:`asteroid.engines`). :mod:`asteroid.labelling.attempt` runs, measures and
audits one label, :mod:`asteroid.labelling.campaign` labels many on all cores.
"""
