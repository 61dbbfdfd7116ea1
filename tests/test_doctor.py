"""The doctor on this machine, which is well, and on faults that are made on purpose."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from asteroid.doctor.labels import PUBLISHED, Worker, check_label, describe_worker
from asteroid.doctor.machine import check_store, check_threads
from asteroid.doctor.weights import WEIGHTS
from asteroid.processes import call_in_process


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "asteroid.cli", "doctor", *arguments], capture_output=True, text=True)


@pytest.mark.long
def test_a_machine_that_passes_the_tests_is_well(tmp_path: Path) -> None:
    result = doctor("--store", str(tmp_path / "new"), "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert [check for check in checks.values() if check["status"] == "failed"] == []
    assert result.returncode == 0
    assert {"versions", "threads", "memory", "store", "weights", "label workers", "BLAS", "Prefect"} <= set(checks)
    assert {f"label: {p.engine} {p.level}" for p in PUBLISHED} <= set(checks)
    # Unequal weights change the gradient, and in the very proportion.
    assert f"weighted {WEIGHTS[0]:g} and {WEIGHTS[1]:g}" in checks["weights"]["found"]
    assert not (tmp_path / "new").exists(), "looking at a store does not create it"


def test_a_store_that_cannot_be_is_bad_input() -> None:
    result = doctor("--store", "ftp://nowhere/x")
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_store_is_tried_by_writing_and_left_as_it_was(tmp_path: Path) -> None:
    (check,) = check_store(str(tmp_path))
    assert check.status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_store_below_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (check,) = check_store(str(tmp_path / "file" / "store"))
    assert check.status == "failed"
    assert check.advice


def test_more_threads_than_cores_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    (check,) = check_threads()
    assert check.status == "warning"
    assert check.advice
    assert "OMP_NUM_THREADS=1" in check.advice


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda p: f"{p.engine} {p.level}")
def test_an_energy_that_is_off_fails(published) -> None:
    assert check_label(published).status == "ok"
    # Ten times what both are converged to: the tolerance is no wider than it says.
    assert check_label(replace(published, energy=published.energy + 10 * published.tolerance)).status == "failed"


def test_a_worker_with_torch_is_noticed() -> None:
    assert call_in_process(describe_worker, ["tblite"]).torch == []
    assert "torch" in call_in_process(label_beside_torch).torch


def label_beside_torch() -> Worker:
    """What no label worker may do."""
    import torch  # noqa: F401

    return describe_worker(["tblite"])
