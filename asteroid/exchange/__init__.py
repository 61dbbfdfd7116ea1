"""Import and export of labels: ``asteroid import`` and ``asteroid export``.

:func:`import_files` reads labelled files (:mod:`~asteroid.exchange.reading`), checks them
(:mod:`~asteroid.exchange.checks`), finds frames that the store already has (:mod:`~asteroid.exchange.matching`) and
adds the rest. :func:`export_labels` writes the labels of a molecule at a level for other programs. Labels that are
exported and imported again are bitwise equal.
"""

from asteroid.exchange.exporting import export_labels
from asteroid.exchange.importing import check_names, check_same_atoms, import_files
from asteroid.exchange.labelled import Conventions
from asteroid.exchange.plan import ImportSettings

__all__ = ["Conventions", "ImportSettings", "check_names", "check_same_atoms", "export_labels", "import_files"]
