"""No manifest makes ``asteroid check`` raise, hang or print anything but one plain line a problem."""

import copy
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.manifest_problems import check_manifest

MANIFESTS = Path(__file__).parents[1] / "manifests"
DEMO = (MANIFESTS / "demo.yaml").read_bytes()
REFERENCE = yaml.safe_load((MANIFESTS / "reference.yaml").read_text())
FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(text: str | bytes) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        problems = check_manifest(path)
        assert all(problem.startswith(f"{path}: ") for problem in problems)
        assert all(problem.isprintable() and len(problem) < 1000 for problem in problems), problems
        return problems


@FUZZ
@given(st.data())
def test_the_demo_with_bytes_changed_removed_or_added(data: st.DataObject) -> None:
    content = bytearray(DEMO)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content)))
        removed = data.draw(st.integers(0, 30))
        added = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"\n", b"  ", b": ", b"- ", b"&a ", b"*a", b"<<", b"!"])
        )
        content[position : position + removed] = added
    check(bytes(content))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["gfn2-xtb", "mp2/cc-pvdz", "C=O", "[OH-]", "/", "..", "auto", "\ud800", "x" * 5000, 10**400])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


def places(content: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested lists and mappings, as the keys that lead there."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [here, *(place for key, value in inner for place in places(value, (*here, key)))]


@FUZZ
@given(st.data())
def test_the_reference_with_any_value_anywhere(data: st.DataObject) -> None:
    content = copy.deepcopy(REFERENCE)
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from([place for place in places(content) if place]))
        inside = content
        for key in path:
            inside = inside[key]
        if data.draw(st.booleans()):
            inside[last] = data.draw(VALUES)
        elif isinstance(inside, dict):
            inside[data.draw(st.text(max_size=6))] = inside.pop(last)
    # JSON is YAML, too, and written much faster.
    check(json.dumps(content, ensure_ascii=data.draw(st.booleans())))


@FUZZ
@given(VALUES)
def test_any_document(content: Any) -> None:
    assert check(yaml.dump(content)) != []


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &a [*a]\nmolecules: *a",
        "molecules: " + "[" * 100_000,
        "molecules: " + "{a: " * 20_000,
        "- " * 100_000,
        "? " * 50_000,
        "molecules: [{name: m, smiles: C=O, charge: " + "9" * 200_000 + "}]",
        "molecules: [{name: m, smiles: C=O, charge: 0x" + "f" * 39 + "}]",
        "molecules: [{name: m, smiles: C=O, sampling: {seed: 1e308, temperatures: [1e-320, 1e308]}}]",
        "molecules: [{name: m, smiles: " + "C" * 100_000 + "}]",
        "molecules: [{name: m, smiles: '" + "(" * 10_000 + "'}]",
        "molecules: [{name: m, smiles: C=O, budget: {accurate: " + "9" * 30 + "}, sampling: {frames: 10000000}}]",
        "%YAML 9.9\n---\nmolecules: []",
        "--- a\n--- b",
        "\ufeff\ufeffmolecules: []",
        "molecules:\n" + "  - {name: m, smiles: C=O}\n" * 300,
    ],
    ids=lambda text: text[:20].encode("ascii", "replace").decode(),
)
def test_what_is_huge_or_endless_is_refused_soon(text: str) -> None:
    start = time.process_time()
    assert check(text)
    # CPU seconds on a slow machine; what is not bounded takes minutes or all memory.
    assert time.process_time() - start < 20
