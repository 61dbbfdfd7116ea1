"""What every page shares: the template environment, numbers for people, and images inside the page.

:mod:`asteroid.report.html` and :mod:`asteroid.report.comparison` fill their templates with it.
"""

import base64
import math
from collections.abc import Collection
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from asteroid.quantities import format_number
from asteroid.report.words import count


@cache
def page_environment() -> Environment:
    """The templates of this package, everything escaped, with filters for numbers."""
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
    return environment


def millis(value: float | None) -> float | None:
    """eV in meV, and so on; what is not known, an infinite end of an interval for one, stays so."""
    return None if value is None or math.isinf(value) else 1000 * value


def time_unit(seconds: Collection[float]) -> tuple[str, float]:
    """One unit for all times of a table: its name and its seconds.

    >>> time_unit([40.0, 20.0]), time_unit([520.0, 4.0])
    (('seconds', 1.0), ('minutes', 60.0))
    """
    longest = max(seconds, default=0.0)
    return ("hours", 3600.0) if longest >= 7200 else ("minutes", 60.0) if longest >= 120 else ("seconds", 1.0)


def data_uri(png: bytes) -> str:
    """An image inside the page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
