"""What a manifest will cost, before it is spent: ``asteroid plan``.

:func:`quote` measures a few labels of each level (or takes what the store's ledger says), a few steps of MD, training
and validation, and multiplies by what the store still lacks. :mod:`~asteroid.stages.quote.work` counts,
:mod:`~asteroid.stages.quote.labels` and :mod:`~asteroid.stages.quote.speed` measure,
:mod:`~asteroid.stages.quote.schedule` lays the stages out in time. Measuring only reads the store;
:mod:`asteroid.stages.kept_quotes` keeps the quote there for the report.
"""

from asteroid.stages.quote.estimate import quote
from asteroid.stages.quote.labels import Growth
from asteroid.stages.quote.lines import Line, Quote

__all__ = ["Growth", "Line", "Quote", "quote"]
