"""Name entries of a manifest (molecules and models) in problems, and merge them with defaults."""

from collections.abc import Mapping
from typing import Any

from asteroid.problems import printable


def entry_label(index: int, raw: object, key: str = "molecules") -> str:
    """An entry in problems, such as ``molecules[0] (water)``."""
    name = raw.get("name") if isinstance(raw, dict) else None
    return f"{key}[{index}] ({printable(name)})" if isinstance(name, str) else f"{key}[{index}]"


def check_duplicates(entries: list[Any], key: str) -> list[str]:
    """Problems of repeated names, also in another case, which share a folder on some file systems."""
    seen: dict[str, int] = {}
    problems = []
    for index, raw in enumerate(entries):
        name = raw.get("name") if isinstance(raw, dict) else None
        if isinstance(name, str):
            first = seen.setdefault(name.lower(), index)
            if first != index:
                where = entry_label(index, raw, key)
                problems.append(f"{where}: name: found {name!r}, which {key}[{first}] has too; write another one")
    return problems


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``, key by key; lists are replaced, not joined."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
