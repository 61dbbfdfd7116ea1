"""Units and usual ranges of the numbers in a manifest, and formatting of numbers for people.

:mod:`asteroid.settings` annotates its numbers with them. :mod:`asteroid.problems` reports missing units and unusual
values.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import Field
from pydantic.fields import FieldInfo

ROUNDING = 1e-12
"""A smaller absolute value is a rounding error and is shown as 0."""

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_number(value: float | None, digits: int = 3) -> str:
    """A number with some significant digits, without an exponent where possible; a dash for None.

    >>> [format_number(value) for value in (0.0512345, 300.0, 12345.6, 99.96, 2.5e-7, 1e-16, math.inf, None)]
    ['0.0512', '300', '12,346', '100', '2.50 × 10⁻⁷', '0', '∞', '–']
    """
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) < ROUNDING:
        return "0"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", "−")
    if 1e-4 <= abs(value) < 1e6:
        text = f"{value:#.{digits}g}" if abs(value) < 10 ** (digits - 1) else f"{value:,.0f}"
        return text.rstrip(".").replace("-", "−")
    factor, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{factor} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")


def shown_unit(unit: str) -> tuple[float, str]:
    """Factor and unit in which a quantity is shown to people: meV instead of eV.

    >>> shown_unit("eV/Å"), shown_unit("Å")
    ((1000.0, 'meV/Å'), (1.0, 'Å'))
    """
    return (1000.0, f"m{unit}") if unit.startswith("eV") else (1.0, unit)


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """A number with its unit, see :func:`shown_unit`.

    >>> format_quantity(0.0512, "eV/Å"), format_quantity(0.2, "")
    ('51.2 meV/Å', '0.200')
    """
    factor, shown = shown_unit(unit)
    return f"{format_number(factor * value, digits)} {shown}".rstrip()


@dataclass(frozen=True)
class Number:
    """Unit and usual range of a setting, for its type annotation.

    Args:
        unit: empty for a pure number.
        least, most: usual range; a value outside is probably a mistake.
    """

    unit: str = ""
    least: float = -math.inf
    most: float = math.inf


def number_of(field: FieldInfo) -> Number:
    """Unit and usual range of a setting, also for numbers in a list or in a union.

    >>> from pydantic import BaseModel
    >>> class Oven(BaseModel):
    ...     temperatures: tuple[Kelvin, ...]
    >>> number_of(Oven.model_fields["temperatures"]).unit
    'K'
    """

    def of(annotation: Any) -> Number | None:
        inside = (*getattr(annotation, "__metadata__", ()), *get_args(annotation))
        found = (part if isinstance(part, Number) else of(part) for part in inside)
        return next((number for number in found if number), None)

    here = (part for part in field.metadata if isinstance(part, Number))
    return next(here, None) or of(field.annotation) or Number()


Positive = Annotated[float, Field(gt=0)]
Kelvin = Annotated[Positive, Number("K", 1, 5000)]
Timestep = Annotated[Positive, Number("fs", 0.05, 4)]
"""A C–H bond vibrates once in 11 fs."""
Picoseconds = Annotated[Positive, Number("ps", 0.01, 10_000)]
ForceError = Annotated[Positive, Number("eV/Å", 1e-5, 10)]
