"""Configurations of a molecule at its cheap level: conformers, normal modes, dynamics, and which of them to label.

:func:`sample` fills the store with frames, :func:`choose_cheap` and :func:`choose_accurate` select those that
:mod:`asteroid.labelling` labels next.
"""

from asteroid.sampling.choose import choose_accurate, choose_cheap
from asteroid.sampling.conformers import starting_configuration
from asteroid.sampling.plan import SamplingSummary, sample

__all__ = ["SamplingSummary", "choose_accurate", "choose_cheap", "sample", "starting_configuration"]
