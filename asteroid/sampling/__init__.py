"""Sample configurations at the cheap level (conformers, normal modes, MD) and choose which to label.

:func:`sample` adds frames to the store; :mod:`asteroid.sampling.choose` selects those that :mod:`asteroid.labelling`
labels.
"""

from asteroid.sampling.conformers import starting_configuration
from asteroid.sampling.plan import SamplingSummary, sample

__all__ = ["SamplingSummary", "sample", "starting_configuration"]
