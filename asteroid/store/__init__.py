"""The store: every file, row and record, and where each of them lies.

:class:`Store` is what other packages use. :mod:`~asteroid.store.paths` says what lies where,
:mod:`~asteroid.store.records` what each JSON record holds, :mod:`~asteroid.store.rows` what each column does.
"""

from asteroid.store.store import ENERGIES_ALONE, Store

__all__ = ["ENERGIES_ALONE", "Store"]
