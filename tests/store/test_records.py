"""Typed records: what was written is read back; what is damaged or foreign is named."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asteroid.comparison.result import Result
from asteroid.errors import StoreError
from asteroid.report.index import Compared
from asteroid.stages.evidence import Asked
from asteroid.stages.models import FinalModel, Models
from asteroid.store import Store, records
from asteroid.store.account import Charge
from asteroid.store.quote_records import KeptQuote
from asteroid.store.records import (
    AnalyticHessian,
    ConformerHessian,
    EnergyCost,
    FoundMinimum,
    FreeAtom,
    Identity,
    Shards,
    TorsionScan,
    TorsionScans,
)

ROW = {"molecule": "water", "cheap": "gfn2-xtb", "accurate": "hf/sto-3g", "arm": "scratch", "n_accurate": 10, "seed": 0}
COSTS = {"label_core_hours": 0.1, "training_core_hours": 0.2, "seconds": 9.0, "cheap_labels": 0}
ERRORS = {"force_mae": 0.1, "force_rmse": 0.2, "energy_mae": 0.3, "energy_rmse": 0.4}
GROUPS = {"force_groups": [[0.5, 9], [0.7, 9]], "energy_groups": [[0.3, 1]]}
REST = {"model_id": "a", "needs": None, "reason": None, "diagnostics": {"weights": [1.0], "warnings": []}}
SECONDS = {"core_seconds": 9.0, "least_core_seconds": 3.0, "wall_seconds": 5.0, "spent_core_seconds": 1.0}
MACHINE = {"memory": 100.0, "processes": 2, "disk": 0.1, "source": "1 s per label"}
PROGRAM = {"program": "pyscf", "version": "2.9", "settings": "0123456789ab"}
STORED: list[tuple[type, dict[str, Any]]] = [
    (Result, ROW | ERRORS | COSTS | GROUPS | REST),
    (Models, {"final": "a", "scratch": "b", "passed_over": None}),
    (FinalModel, {"final": "a"}),
    (
        KeptQuote,
        {
            "created": "2026-01-01T00:00:00+00:00",
            "workers": 2,
            "lines": [
                {"molecule": "water", "stage": "cheap labels", "detail": "gfn2-xtb", "count": 9, "unit": "labels"}
                | SECONDS
                | MACHINE
            ],
        },
    ),
    (Identity, {"smiles": "O", "charge": 0, "multiplicity": 1}),
    (Identity, {"geometry": 64 * "0", "charge": -1, "multiplicity": 2}),
    (Charge, {"stage": "sampling", "model_id": None, "cpu_seconds": 2.5, "gpu_seconds": 0.0, "wall_seconds": 3.0}),
    (Asked, {"on_policy": ["f1", "f2"], "torsions": [{"torsion": 0, "points": {"3": "f3", "11": "f4"}}]}),
    (
        ConformerHessian,
        {"frame_id": "f1", "level": "gfn2-xtb", "engine": "tblite", "unit": "eV/Å²", "hessian": np.eye(3).tolist()},
    ),
    (
        FreeAtom,
        {"level": "hf/sto-3g", "element": "H", "multiplicity": 2, "energy": -12.7, "reason": None}
        | PROGRAM
        | {"cpu_seconds": 0.1, "wall_seconds": 0.2, "created": "2026-01-01T00:00:00+00:00", "molecule": "water"},
    ),
    (Shards, {"level": "hf/sto-3g", "frames": 100, "shards": 3}),
]
"""Records with all keys that version 0.1 or today's version stores."""


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


def test_only_a_certificate_has_null_for_numbers_that_are_not_finite(store: Store) -> None:
    record = EnergyCost("f1", math.nan)
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.write(store, "one.json", record)
    assert records.to_json(record, nulls=True) == {"frame_id": "f1", "core_seconds": None}


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


@pytest.mark.parametrize(("kind", "content"), STORED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_stored_record_is_read_and_written_with_the_keys_it_always_had(
    store: Store, kind: type, content: dict[str, Any]
) -> None:
    store.write_json("one.json", content)
    found = records.read(store, kind, "one.json")
    records.write(store, "two.json", found)
    assert store.read_json("two.json") == content


@pytest.mark.parametrize(
    ("kind", "content"), [*STORED, (Compared, {"results": [ROW]})], ids=lambda value: getattr(value, "__name__", "")
)
def test_a_record_with_foreign_values_is_named_in_one_line(store: Store, kind: type, content: dict[str, Any]) -> None:
    store.write_json("one.json", {key: {"foreign": "thing"} for key in content})
    with pytest.raises(StoreError, match=r"one\.json is damaged or foreign \(") as caught:
        records.read(store, kind, "one.json")
    assert "\n" not in str(caught.value)
