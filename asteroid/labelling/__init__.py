"""Label campaigns: worker processes, attempts, the audit of each label and the search for outliers among all labels.

Labels are computed by engines (:mod:`asteroid.engines`). :mod:`asteroid.labelling.attempt` computes and audits one
label, :mod:`asteroid.labelling.campaign` computes many on all cores.
"""
