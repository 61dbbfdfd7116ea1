"""Typed records: what was written is read back; what is damaged or foreign is named."""

from pathlib import Path

import numpy as np
import pytest

from asteroid.errors import StoreError
from asteroid.store import Store, records
from asteroid.store.records import AnalyticHessian, FoundMinimum, TorsionScan, TorsionScans


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_record_is_read_back_with_its_arrays(store: Store) -> None:
    hessian = np.arange(36.0).reshape(6, 6)
    records.write(store, "one.json", FoundMinimum(np.eye(2, 3), hessian, True))
    found = records.read(store, FoundMinimum, "one.json")
    np.testing.assert_array_equal(found.positions, np.eye(2, 3))
    assert found.hessian is not None
    np.testing.assert_array_equal(found.hessian, hessian)
    assert found.converged
    scan = TorsionScan("O0–O1", (2, 0, 1, 3), np.zeros(5), np.ones(5), np.zeros((5, 4, 3)))
    records.write(store, "two.json", TorsionScans((scan,)))
    (again,) = records.read(store, TorsionScans, "two.json").scans
    assert (again.name, again.atoms, again.positions.shape) == (scan.name, scan.atoms, (5, 4, 3))


def test_what_an_earlier_version_did_not_write_has_its_default(store: Store) -> None:
    store.write_json("one.json", {"hessian": None, "core_seconds": 1.5})
    found = records.read(store, AnalyticHessian, "one.json")
    assert (found.hessian, found.core_seconds, found.problem) == (None, 1.5, None)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"positions": [[0, 0, 0]], "converged": True}, "hessian: Field required"),
        ({"positions": [[0, 0, 0], [1]], "hessian": None, "converged": True}, "positions: "),
        ({"positions": "here", "hessian": None, "converged": True}, "positions: "),
        ({"positions": [[0, 0, 0]], "hessian": None, "converged": "perhaps"}, "converged: "),
    ],
)
def test_a_record_of_something_else_is_named(store: Store, content: dict[str, object], where: str) -> None:
    store.write_json("one.json", content)
    with pytest.raises(StoreError, match=rf"one\.json is damaged or foreign \({where}"):
        records.read(store, FoundMinimum, "one.json")
    with pytest.raises(FileNotFoundError):
        records.read(store, FoundMinimum, "two.json")
