"""Error messages for wrong settings, from pydantic's errors, and warnings for unusual values.

:mod:`asteroid.manifest` adds the name of the file.
"""

import json
import re
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from asteroid.errors import suggest
from asteroid.quantities import number_of
from asteroid.settings import Settings

Model = TypeVar("Model", bound=BaseModel)

_TOO_SHORT = "at least one value"
_NUMERIC = (_TOO_SHORT, "number", *"0123456789")
"""Ends of expectations about numbers, which get a unit."""


def validate(model: type[Model], content: Mapping[str, Any]) -> tuple[Model | None, list[str]]:
    """``content`` as ``model``, or None and one line for each problem, which begins with the key.

    Strict as for JSON: a list becomes a tuple and an integer a float, but text never becomes a number.
    """
    try:
        return model.model_validate_json(json.dumps(content), strict=True), []
    except ValidationError as error:
        return None, _describe(error, model)


def _describe(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for each key with problems; the alternatives of a union are one problem."""
    found: dict[str, tuple[object, list[str]]] = {}
    units: dict[str, str] = {}
    lines = []
    for detail in error.errors(include_url=False):
        key, owner, units[key] = _locate(detail["loc"], model)
        kind = detail["type"]
        if kind == "extra_forbidden":
            name = str(detail["loc"][-1])
            lines.append(f"{printable(key)}: unknown key; {suggest(name, owner.model_fields)}")
        elif kind == "missing":
            lines.append(f"{key}: not there; write {key}:")
        else:
            expected = _expected(kind, detail.get("ctx", {}), detail["input"])
            found.setdefault(key, (detail["input"], []))[1].append(expected)
    for key, (value, expected_values) in found.items():
        if expected_values == [_TOO_SHORT] and any(other.startswith(f"{key}[") for other in found):
            # The list has members, but all are wrong.
            continue
        near = [expected for expected in expected_values if expected.startswith("did you mean")]
        expectation = near[0] if near else " or ".join(dict.fromkeys(expected_values))
        verb = "" if expectation.startswith(("did you mean", "write ")) else "write "
        unit = f" (in {units[key]})" if units[key] and expectation.endswith(_NUMERIC) else ""
        lines.append(f"{key}: found {_show(value)}; {verb}{expectation}{unit}")
    return lines


def unusual(settings: Settings) -> list[str]:
    """Numbers outside their usual range, one line each, which begins with the key.

    >>> from asteroid.settings import SamplingSettings
    >>> unusual(SamplingSettings(timestep=100))
    ['timestep: found 100 fs, which is far from usual; write 0.05 to 4 fs']
    """
    lines = []
    for key, field in type(settings).model_fields.items():
        value = getattr(settings, key)
        if isinstance(value, Settings):
            lines += [f"{key}.{line}" for line in unusual(value)]
            continue
        number = number_of(field)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, int | float) and not number.least <= each <= number.most:
                unit = f" {number.unit}" if number.unit else ""
                least, most = (f"{end:g}" if abs(end) < inf else "" for end in (number.least, number.most))
                usual = f"{least} to {most}" if least and most else f"{most} or less"
                lines.append(f"{key}: found {each:g}{unit}, which is far from usual; write {usual}{unit}")
    return lines


def _locate(location: Sequence[int | str], model: type[BaseModel]) -> tuple[str, type[BaseModel], str]:
    """The key as in the manifest, its block of settings, and its unit."""
    key = unit = ""
    owner = model
    inside: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        elif inside is not None:
            key += f".{part}" if key else part
            owner = inside
            field = owner.model_fields.get(part)
            inside = None if field is None else _block(field.annotation)
            unit = "" if field is None else number_of(field).unit
        # Text below a plain value is the name of an alternative of a union; it is not shown.
    return key, owner, unit


def _block(annotation: Any) -> type[BaseModel] | None:
    """The block of settings of a key, also if it may be null; None for plain values."""
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _expected(kind: str, context: Mapping[str, Any], value: object) -> str:
    """What to write instead, for each kind of pydantic's errors."""
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", context["expected"])
        return suggest(value, names) if isinstance(value, str) else " or ".join(f"'{name}'" for name in names)
    if kind.startswith("int"):
        whole = isinstance(value, float) and value.is_integer()
        return f"a whole number: {value:.0f}" if whole else "a whole number"
    if kind == "string_type":
        example = f": '[{value[0]}]'" if isinstance(value, list) and len(value) == 1 else ""
        return f"text, in quotes{example}"
    if kind in ("tuple_type", "list_type"):
        return f"a list: [{_show(value)}]" if isinstance(value, int | float | str) else "a list"
    return {
        "bool_type": "true or false",
        "bool_parsing": "true or false",
        "float_type": "a number",
        "float_parsing": "a number",
        "finite_number": "a finite number",
        "greater_than": f"a number above {context.get('gt', 0):g}",
        "greater_than_equal": f"{context.get('ge')} or more",
        "less_than": f"a number below {context.get('lt', 0):g}",
        "less_than_equal": f"{context.get('le')} or less",
        "too_short": _TOO_SHORT,
        "model_type": "keys and values, or remove it",
        "model_attributes_type": "keys and values, or remove it",
        "dict_type": "keys and values, or remove it",
    }[kind]


def _show(value: object) -> str:
    """A value as in YAML, on one short line."""
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def printable(text: str, most: int = 64) -> str:
    """Untrusted text without control characters, cut to ``most`` characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:most])
