"""What every page shares: the template environment, numbers for people, and images inside the page.

:mod:`asteroid.report.html` and :mod:`asteroid.report.comparison` fill their templates with it.
"""

import base64
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from asteroid.report.groups import certificate_state, line_state
from asteroid.report.words import count


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
    environment.filters |= {"line_state": line_state, "certificate_state": certificate_state}
    environment.globals["count"] = count
    return environment


def format_number(value: float | None, digits: int = 3) -> str:
    """Significant digits without an exponent where people read numbers; a dash for what is not known.

    >>> [format_number(value) for value in (0.0512345, 300.0, 12345.6, 99.96, 2.5e-7, None)]
    ['0.0512', '300', '12,346', '100', '2.50e−07', '–']
    """
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", "−")
    if 1e-4 <= abs(value) < 1e6:
        text = f"{value:#.{digits}g}" if abs(value) < 10 ** (digits - 1) else f"{value:,.0f}"
        return text.rstrip(".").replace("-", "−")
    return f"{value:.{digits - 1}e}".replace("-", "−")


def data_uri(png: bytes) -> str:
    """An image inside the page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
