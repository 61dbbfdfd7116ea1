"""The ways to train from two sets of labels: a file each, with one definition and a short recipe over the one loop.

Found by name: see :mod:`asteroid.strategies`. Annotations name what brings torch, functions import it.
"""
