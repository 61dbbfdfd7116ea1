"""Strategies compared on one store: which of them is better, by how much, and at what cost.

The data flow is one line: :mod:`plan` (which frames, the same for every arm) → :mod:`cheap_labels` (what is missing) →
:mod:`run` (each cell in a process of its own: :mod:`cell`, :mod:`evaluate`) → :mod:`result` (what the store keeps of a
cell) → :mod:`summary` (the JSON that ``asteroid compare`` writes, by :mod:`statistics` and :mod:`sentences`). The page
is made of that by :mod:`asteroid.report`.
"""
