"""Template environment, number filters and embedded images for all pages.

Used by :mod:`asteroid.report.html` and :mod:`asteroid.report.comparison`.
"""

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

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
    # The order of what a page shows.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":"), "ensure_ascii": False}
    environment.filters["number"] = format_number
    environment.filters["millis"] = millis
    environment.globals["count"] = count
    environment.globals["source"] = source
    environment.globals["hashes"] = hashes
    environment.filters["contents"] = contents
    environment.globals["shown_unit"] = shown_unit
    return environment


def millis(value: float | None) -> float | None:
    """1000 × value, for meV instead of eV; None for None and for an infinite end of an interval."""
    return None if value is None or math.isinf(value) else 1000 * value


@cache
def source(name: str) -> Markup:
    """A script of this package, to stand in the page: a report is one file, which may be mailed."""
    return Markup(files("asteroid.report").joinpath(name).read_text("utf-8"))


def hashes(names: Sequence[str]) -> Markup:
    """The scripts that a page may run, for its content security policy; no others, whatever a name or reason says."""
    digests = (hashlib.sha256(source(name).encode()).digest() for name in names)
    return Markup(" ".join(f"'sha256-{base64.b64encode(found).decode()}'" for found in digests) or "'none'")


def contents(page: str) -> list[tuple[str, str]]:
    """Id and short name of each section of a page that has one.

    >>> contents('<section id="dynamics" data-nav="MD">')
    [('dynamics', 'MD')]
    """
    return re.findall(r'<section id="([\w-]+)" data-nav="([^"]+)"', page)


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """A picture or another file of a MIME type as a data URI, to embed it into the page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
