"""Validation of a finished model: errors on held-out frames, molecular dynamics, minimum, and the certificate.

Functions take any ASE calculator, so the same code validates models and quantum-chemical methods. Labels come from
:mod:`asteroid.store`, models from :mod:`asteroid.training`; :mod:`asteroid.report` shows the results.
"""
