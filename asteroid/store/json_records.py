"""JSON records of the store as bytes and back: each says which schema it follows and carries a hash of its content.

Both stand under the key ``record``, which callers never see::

    {…, "record": {"kind": "models", "schema": 1, "sha256": "…"}}

A record without it was written by version 0.1 and is read as it is. :class:`asteroid.store.files.Files` reads and
writes with these functions.
"""

import hashlib
import json
from typing import Any, Final

SCHEMA: Final = 1
"""Of the records that this version writes, and the newest that it reads."""

_KEY: Final = "record"


class NewerRecordError(ValueError):
    """A record that a later version of asteroid wrote."""


def to_bytes(kind: str, content: dict[str, Any]) -> bytes:
    """A record as it is stored.

    Args:
        kind: of record; one that is found where another kind belongs is refused.

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
        ValueError: for bytes that are no JSON object, or not what was written; the message says how.
    """
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("it holds no JSON object")
    if _KEY not in content:
        if any(isinstance(value, dict) and {"schema", "sha256"} <= value.keys() for value in content.values()):
            raise ValueError(f"its key {_KEY!r} is spelt otherwise")
        return content
    record = content.pop(_KEY)
    if not isinstance(record, dict) or not isinstance(record.get("schema"), int):
        raise ValueError("it does not say which schema it follows")
    if record["schema"] > SCHEMA:
        raise NewerRecordError(
            f"it follows schema {record['schema']} of a later version of asteroid, and this one reads up to {SCHEMA}"
        )
    if record.get("sha256") != _hash(content):
        raise ValueError("its content is not what was written: the checksum differs")
    if record.get("kind") != kind:
        raise ValueError(f"it is a record of {record.get('kind')!r}, and one of {kind!r} belongs here")
    return content


def _hash(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
