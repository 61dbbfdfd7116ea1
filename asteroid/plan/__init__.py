"""Cost estimate of a manifest, before the run: ``asteroid plan``.

:mod:`~asteroid.plan.counts` counts what the store lacks, :mod:`~asteroid.plan.labels` and :mod:`~asteroid.plan.machine`
measure the cost of one label or step on this machine unless the store has it, and :mod:`~asteroid.plan.estimate`
multiplies. :mod:`asteroid.stages.kept_quotes` stores the estimate for the report.
"""

from asteroid.plan.estimate import quote
from asteroid.plan.labels import Growth
from asteroid.plan.lines import Quote

__all__ = ["Growth", "Quote", "quote"]
