"""The store: Parquet tables and JSON records in a folder or an object store.

Other packages use :class:`Store`. :mod:`~asteroid.store.paths` has the layout, :mod:`~asteroid.store.records` the
fields of JSON records, :mod:`~asteroid.store.rows` the columns of tables.
"""

from asteroid.store.store import ENERGIES_ALONE, Store

__all__ = ["ENERGIES_ALONE", "Store"]
