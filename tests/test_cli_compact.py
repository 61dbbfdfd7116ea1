"""``asteroid compact`` as a user meets it."""

import json
from pathlib import Path

import numpy as np

from asteroid.configuration import Configuration, Frame, Origin
from asteroid.store import Store
from tests.cli import cli


def test_compact_says_how_many_files_became_how_few_and_names_a_damaged_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for i in range(3):
        hydrogen = Configuration(np.array([1, 1]), np.array([[0, 0, 0], [0, 0, 0.7 + i / 10]]))
        store.add_frames("h2", [Frame(hydrogen, Origin("given"), "g", "train")], batch=f"b{i}")
    result = cli("compact", "--store", str(tmp_path), "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [{"molecule": "h2", "files_before": 3, "files_after": 1}]
    assert len(store.frames("h2")) == 3

    store.add_frames("h2", [], batch="b3")
    store.write("frames/molecule=h2/b4.parquet", b"PAR1")
    result = cli("compact", "--store", str(tmp_path))
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"asteroid: {tmp_path}/frames/molecule=h2/b4.parquet is damaged or foreign")


def test_compacting_a_store_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    result = cli("compact", "--store", str(tmp_path / "none"))
    assert (result.returncode, result.stderr) == (0, "")
    assert "nothing to compact" in result.stdout
    assert list(tmp_path.iterdir()) == []
