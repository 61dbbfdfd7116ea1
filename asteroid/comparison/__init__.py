"""Comparison of training strategies on one store: errors, ratios and cost.

A variant is one strategy of a comparison; a cell is one variant with one number of accurate labels and one seed. Data
flow: :mod:`plan` (frames of each cell, the same for all variants) → :mod:`cheap_labels` (computes missing cheap labels)
→ :mod:`run` (each cell in its own process: :mod:`cell`, :mod:`evaluate`) → :mod:`result` (one stored result per cell) →
:mod:`summary` (the JSON of ``asteroid compare``, from :mod:`statistics` and :mod:`sentences`). :mod:`asteroid.report`
makes the page from that JSON. In stored and written JSON the key of a variant is ``arm``.
"""
