"""Sample configurations at the cheap level (conformers, normal modes, MD) and choose which to label.

:func:`sample` adds frames to the store; :func:`choose_cheap` and :func:`choose_accurate` select those that
:mod:`asteroid.labelling` labels.
"""

from asteroid.sampling.choose import choose_accurate, choose_cheap
from asteroid.sampling.conformers import starting_configuration
from asteroid.sampling.plan import SamplingSummary, sample

__all__ = ["SamplingSummary", "choose_accurate", "choose_cheap", "sample", "starting_configuration"]
