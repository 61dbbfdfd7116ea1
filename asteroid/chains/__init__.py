"""Chains: the levels through which cheap labels are corrected to the accurate one, and how many labels each gets.

:mod:`~asteroid.chains.candidates` lists levels that may stand in between, :mod:`~asteroid.chains.curves` measures on a
few frames how the residual error of a correction falls with its labels, :mod:`~asteroid.chains.choice` chooses.
"""
