"""Chains of levels that correct cheap labels to the accurate level, and the number of labels at each level.

:mod:`~asteroid.chains.candidates` lists intermediate levels, :mod:`~asteroid.chains.curves` measures on a few frames
how the residual error of a correction falls with its labels, :mod:`~asteroid.chains.choice` chooses the chain.
"""
