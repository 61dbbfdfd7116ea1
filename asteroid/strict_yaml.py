"""YAML as a manifest needs it: the plain subset, read strictly, every problem one line with its line number.

What differs from ``yaml.safe_load``: scalars follow YAML 1.2's core schema (``NO`` is nitric oxide and not false,
``1e5`` is a number), a key written twice is an error, keys are text, tags and other types do not exist, and anchors may
be used but cannot blow a small file up. :mod:`asteroid.manifest` gives meaning to what comes out.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from asteroid.errors import InputError

MAX_BYTES = 2**20
MAX_NODES = 200_000
"""Values in a file once its anchors are written out: ten thousand molecules of twenty values."""
MAX_DEPTH = 30
MAX_NUMBER_LENGTH = 40

_CORE = "tag:yaml.org,2002:"
_MERGE = _CORE + "merge"


class _CoreLoader(yaml.SafeLoader):
    """PyYAML's scanner and composer with the scalar types of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        [*"-+0123456789."],
    ),
    ("merge", r"<<", ["<"]),
):
    _CoreLoader.add_implicit_resolver(_CORE + _tag, re.compile(rf"^(?:{_pattern})$"), _first)


def read_yaml(path: Path) -> Any:
    """Read one YAML document as dicts, lists, text, whole numbers, floats, booleans and None.

    Raises:
        InputError: when there is no such file, or for the first thing in it that cannot be read.
    """
    text = _read_text(path)
    try:
        node = yaml.compose(text, Loader=_CoreLoader)
        return None if node is None else _Builder(path).build(node, depth=0, inside=())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        problem = error.problem or error.context or "not YAML"
        if "'\\t'" in problem:
            problem = "a tab, which YAML does not allow here; write spaces"
        elif "alias" in f"{error.context} {problem}" or "anchor" in f"{error.context} {problem}":
            problem += "; put text that begins with * or & in quotes"
        problem = problem.replace("'\\x00'", "the end of the file")
        raise InputError(f"{path}: {where}{_one_line(problem)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"{path}: line {line}: a control character, U+{ord(text[error.position]):04X}") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply") from None


def _read_text(path: Path) -> str:
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; write the path of a manifest")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write the path of a manifest") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{path}: larger than {MAX_BYTES // 1024} KiB; a manifest names molecules, it does not hold them"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: line {line}: not UTF-8 text; save the file as UTF-8") from None


class _Builder:
    """Turns YAML nodes into values; counts them, so that anchors cannot multiply without end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._nodes = 0

    def build(self, node: yaml.Node, *, depth: int, inside: tuple[int, ...]) -> Any:
        self._nodes += 1
        if id(node) in inside:
            raise self._error(node, "an anchor that contains itself")
        if self._nodes > MAX_NODES:
            raise self._error(node, f"more than {MAX_NODES} values once anchors are written out")
        if depth > MAX_DEPTH:
            raise self._error(node, f"nested more than {MAX_DEPTH} deep")
        inside = (*inside, id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _CORE + "map":
            return self._mapping(node, depth + 1, inside)
        if isinstance(node, yaml.SequenceNode) and node.tag == _CORE + "seq":
            return [self.build(child, depth=depth + 1, inside=inside) for child in node.value]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self._error(node, f"the tag {node.tag}, which a manifest does not know; remove it")

    def _mapping(self, node: yaml.MappingNode, depth: int, inside: tuple[int, ...]) -> dict[str, Any]:
        own: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        first_seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(key_node, "a list or mapping where a key is expected")
            key = self._text(key_node)
            line = key_node.start_mark.line + 1
            if key in first_seen:
                raise self._error(key_node, f"'{key}' is written twice, first in line {first_seen[key]}; remove one")
            first_seen[key] = line
            value = self.build(value_node, depth=depth, inside=inside)
            if key_node.tag != _MERGE:
                own[key] = value
                continue
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    raise self._error(value_node, "<< is not followed by a mapping; write <<: *anchor")
                inherited = {**source, **inherited}
        return {**inherited, **own}

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        kind = node.tag.removeprefix(_CORE)
        try:
            if kind in ("int", "float"):
                if len(text) > MAX_NUMBER_LENGTH:
                    raise self._error(node, f"a number of more than {MAX_NUMBER_LENGTH} characters")
                if kind == "float":
                    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
                return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
        except (ValueError, KeyError):
            raise self._error(node, f"'{text[:40]}' is not of type {kind}") from None
        if kind == "null":
            return None
        # '<<' and '=' as values, and everything that no type claims, are text.
        if kind in ("str", "merge"):
            return self._text(node)
        raise self._error(node, f"the tag {node.tag}, which a manifest does not know; remove it")

    def _text(self, node: yaml.ScalarNode) -> str:
        """Text that can be printed and stored: an escape such as ``"\\ud800"`` gives half a character."""
        text: str = node.value
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self._error(node, "half a character (a lone surrogate)") from None
        return text

    def _error(self, node: yaml.Node, problem: str) -> InputError:
        return InputError(f"{self._path}: line {node.start_mark.line + 1}: {_one_line(problem)}")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
