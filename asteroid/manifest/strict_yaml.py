"""Read the subset of YAML 1.2 for manifests; every problem is one line with its line number.

With ruamel.yaml, ``NO`` is nitric oxide and not false, ``1e5`` is a number, and a repeated key is an error. Here, keys
and dates are text, tags are refused, and the number of values after expanding anchors is limited.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from asteroid.errors import InputError

MAX_BYTES = 2**20
MAX_NODES = 200_000
"""Largest number of values after expanding anchors: ten thousand molecules of twenty values."""
MAX_DEPTH = 30
MAX_NUMBER_LENGTH = 40

_CORE = "tag:yaml.org,2002:"
_STR, _MERGE = _CORE + "str", _CORE + "merge"
_NUMBERS = (_CORE + "int", _CORE + "float")
_TEXT = (_MERGE, _CORE + "timestamp", _CORE + "value")
"""Tags that ruamel.yaml resolves although YAML 1.2 does not; they are read as text, like numbers such as 1_000."""
_KNOWN = {*_NUMBERS, *_TEXT, *(_CORE + name for name in ("map", "seq", "str", "null", "bool"))}


def read_yaml(path: Path) -> Any:
    """Read one YAML document as dicts, lists, text, whole numbers, floats, booleans and None.

    Raises:
        InputError: when there is no such file, or for the first invalid value.
    """
    text = _read_text(path)
    reader = YAML(typ="safe", pure=True)
    reader.composer.warn_double_anchors = False
    try:
        node = reader.compose(text)
        if node is None:
            return None
        if len(list(islice(_checked(node), MAX_NODES + 1))) > MAX_NODES:
            raise InputError(f"{path}: more than {MAX_NODES} values once anchors are written out")
        return reader.constructor.construct_document(node)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise InputError(f"{path}: {where}{_in_words(error)}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"{path}: line {line}: a control character, U+{ord(text[error.position]):04X}") from None
    except (ValueError, LookupError):
        raise InputError(f"{path}: a value that does not fit its tag; remove the tag") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply") from None


def _in_words(error: MarkedYAMLError) -> str:
    problem = error.problem or error.context or "not YAML"
    if "'\\t'" in problem:
        problem = "a tab, which YAML does not allow here; write spaces"
    elif "duplicate" in problem:
        problem += "; remove one"
    elif "alias" in f"{error.context} {problem}" or "anchor" in problem:
        problem += "; put text that begins with * or & in quotes"
    return " ".join(problem.replace("'\\x00'", "the end of the file").split())[:300]


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


def _checked(node: Node, inside: tuple[Node, ...] = ()) -> Iterator[Node]:
    """A node and all its descendants, repeated as anchors repeat them; converts keys to text.

    Raises:
        MarkedYAMLError: for YAML that a manifest may not contain.
    """
    if node in inside:
        raise _error(node, "an anchor that contains itself")
    if len(inside) > MAX_DEPTH:
        raise _error(node, f"nested more than {MAX_DEPTH} deep")
    if node.ctag.handle is not None or node.tag not in _KNOWN:
        raise _error(node, f"the tag {node.tag}, which a manifest does not know; remove it")
    yield node
    inside = (*inside, node)
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise _error(key, "a list or mapping where a key is expected")
            if key.tag != _MERGE:
                key.tag = _STR
            yield from _checked(value, inside)
    elif not isinstance(node, ScalarNode):
        for child in node.value:
            yield from _checked(child, inside)
    else:
        _check_scalar(node)


def _check_scalar(node: ScalarNode) -> None:
    try:
        node.value.encode()
    except UnicodeEncodeError:
        # An escape such as "\ud800".
        raise _error(node, "half a character (a lone surrogate)") from None
    if node.tag in _NUMBERS and len(node.value) > MAX_NUMBER_LENGTH:
        raise _error(node, f"a number of more than {MAX_NUMBER_LENGTH} characters")
    if node.tag in _TEXT or (node.tag in _NUMBERS and "_" in node.value):
        node.tag = _STR


def _error(node: Node, problem: str) -> MarkedYAMLError:
    return MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
