"""Convert JSON records of the store to bytes and back, with a schema version and a hash of the content.

These are stored under the key ``record``, which callers never see::

    {…, "record": {"kind": "models", "schema": 1, "sha256": "…"}}

A record without it was written by version 0.1 and is read unchecked. Used by :class:`asteroid.store.files.Files`.
"""

import hashlib
import json
from typing import Any, Final

SCHEMA: Final = 1
"""Schema of the records that this version writes, and the newest that it reads."""

_KEY: Final = "record"


class NewerRecordError(ValueError):
    """A record of a later version of asteroid."""


def to_bytes(kind: str, content: dict[str, Any]) -> bytes:
    """The stored form of a record.

    Args:
        kind: of record; reading checks it.

    Raises:
        ValueError: for content that JSON cannot hold, or that uses the key of the record itself.
    """
    if _KEY in content:
        raise ValueError(f"the key {_KEY!r} belongs to the record itself")
    plain = json.loads(json.dumps(content, ensure_ascii=False, allow_nan=False))
    stored = {**plain, _KEY: {"kind": kind, "schema": SCHEMA, "sha256": _hash(plain)}}
    return (json.dumps(stored, indent=2, ensure_ascii=False) + "\n").encode()


def from_bytes(kind: str, data: bytes) -> dict[str, Any]:
    """The content of a record.

    Raises:
        NewerRecordError: for a schema that this version does not know.
        ValueError: for bytes that are not a JSON object, or were changed.
    """
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("it holds no JSON object")
    if _KEY not in content:
        if any(isinstance(value, dict) and {"schema", "sha256"} <= value.keys() for value in content.values()):
            raise ValueError(f"its key {_KEY!r} is misspelt")
        return content
    record = content.pop(_KEY)
    if not isinstance(record, dict) or not isinstance(record.get("schema"), int):
        raise ValueError("it does not say which schema it follows")
    if record["schema"] > SCHEMA:
        raise NewerRecordError(
            f"it follows schema {record['schema']} of a later version of asteroid, and this one reads up to {SCHEMA}"
        )
    if record.get("sha256") != _hash(content):
        raise ValueError("its content was changed: the checksum differs")
    if record.get("kind") != kind:
        raise ValueError(f"it is a record of {record.get('kind')!r}, expected {kind!r}")
    return content


def _hash(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
