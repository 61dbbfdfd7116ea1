"""Template environment, number filters and embedded images for all pages.

Used by :mod:`asteroid.report.html` and :mod:`asteroid.report.comparison`.
"""

import base64
import math
from collections.abc import Collection
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from asteroid.quantities import format_number, shown_unit
from asteroid.report.words import count


@cache
def page_environment() -> Environment:
    """The templates of this package with escaping, and with filters and functions for numbers."""
    environment = Environment(
        loader=PackageLoader("asteroid.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    environment.filters["millis"] = millis
    environment.globals["count"] = count
    environment.globals["time_unit"] = time_unit
    environment.globals["shown_unit"] = shown_unit
    return environment


def millis(value: float | None) -> float | None:
    """1000 × value, for meV instead of eV; None for None and for an infinite end of an interval."""
    return None if value is None or math.isinf(value) else 1000 * value


def time_unit(seconds: Collection[float]) -> tuple[str, float]:
    """Name and seconds of one unit for all times of a table.

    >>> time_unit([40.0, 20.0]), time_unit([520.0, 4.0])
    (('seconds', 1.0), ('minutes', 60.0))
    """
    longest = max(seconds, default=0.0)
    return ("hours", 3600.0) if longest >= 7200 else ("minutes", 60.0) if longest >= 120 else ("seconds", 1.0)


def data_uri(png: bytes) -> str:
    """A PNG as a data URI, to embed it into the page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
