"""What every page shares: the template environment, numbers for people, and images inside the page.

:mod:`asteroid.report.html` and :mod:`asteroid.report.comparison` fill their templates with it.
"""

import base64
from collections.abc import Collection
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from asteroid.report.groups import certificate_state, line_state
from asteroid.report.words import count

ROUNDING = 1e-12
"""Less than this is no eV, Å or hour that was computed, but the rounding of the computation."""

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@cache
def page_environment() -> Environment:
    """The templates of this package, everything escaped, with filters for numbers and for the states of lines."""
    environment = Environment(
        loader=PackageLoader("asteroid.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    environment.filters |= {"millis": millis, "line_state": line_state, "certificate_state": certificate_state}
    environment.globals["count"] = count
    environment.globals["time_unit"] = time_unit
    return environment


def format_number(value: float | None, digits: int = 3) -> str:
    """Significant digits without an exponent where people read numbers; a dash for what is not known.

    >>> [format_number(value) for value in (0.0512345, 300.0, 12345.6, 99.96, 2.5e-7, 1e-16, None)]
    ['0.0512', '300', '12,346', '100', '2.50 × 10⁻⁷', '0', '–']
    """
    if value is None:
        return "–"
    if abs(value) < ROUNDING:
        return "0"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", "−")
    if 1e-4 <= abs(value) < 1e6:
        text = f"{value:#.{digits}g}" if abs(value) < 10 ** (digits - 1) else f"{value:,.0f}"
        return text.rstrip(".").replace("-", "−")
    factor, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{factor} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")


def millis(value: float | None) -> float | None:
    """eV in meV, and so on; what is not known stays so."""
    return None if value is None else 1000 * value


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
