"""What a manifest will cost, before it is spent: ``asteroid plan``.

A quote is counts times timed samples: :mod:`~asteroid.plan.counts` counts what the store still lacks,
:mod:`~asteroid.plan.labels` and :mod:`~asteroid.plan.machine` measure what one of each costs here (what the store knows
is not measured again), :mod:`~asteroid.plan.estimate` multiplies. Measuring only reads the store;
:mod:`asteroid.stages.kept_quotes` keeps the quote there for the report.
"""

from asteroid.plan.estimate import quote
from asteroid.plan.labels import Growth
from asteroid.plan.lines import Line, Quote

__all__ = ["Growth", "Line", "Quote", "quote"]
