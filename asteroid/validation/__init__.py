"""Judging a finished model: errors on held-out frames, dynamics, its minimum, and the certificate that sums them up.

Functions take any ASE calculator, so a model is judged by the same code as a quantum-chemical method. Labels come from
:mod:`asteroid.store`, models from :mod:`asteroid.training`; :mod:`asteroid.report` shows the result to people.
"""
