from pathlib import Path

import pytest

from asteroid.errors import StoreError
from asteroid.store.checkpoints import StoredCheckpoints
from asteroid.store.files import Files


def test_only_the_newest_checkpoint_is_kept(store_url: str) -> None:
    files = Files(store_url)
    keeper, other = (StoredCheckpoints(files, f"checkpoints/water/{name}") for name in ("a", "b"))
    assert keeper.load() is None
    for content in (b"first", b"second", b"third"):
        keeper.save(content)
        assert keeper.load() == content
        assert len(files.names("checkpoints/water/a")) == 1
    assert other.load() is None
    other.save(b"of another")
    keeper.clear()
    assert keeper.load() is None
    assert other.load() == b"of another"


def test_what_a_killed_process_had_begun_to_write_goes_with_the_rest(tmp_path: Path) -> None:
    keeper = StoredCheckpoints(Files(tmp_path), "checkpoints/water/a")
    keeper.save(b"whole")
    (tmp_path / "checkpoints/water/a/.00000002.checkpoint.1234abcd.tmp").write_bytes(b"ha")
    assert keeper.load() == b"whole"
    keeper.clear()
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_damaged_checkpoint_is_refused_and_one_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    files = Files(tmp_path)
    kept = StoredCheckpoints(files, "checkpoints/a")
    kept.save(b"weights")
    (name,) = files.names("checkpoints/a")
    files.write(f"checkpoints/a/{name}", b"weightz")
    with pytest.raises(StoreError, match=r"checkpoint is damaged or foreign .* run again"):
        kept.load()
    files.remove(f"checkpoints/a/{name}")
    files.write("checkpoints/a/00000007.checkpoint", b"older")
    assert kept.load() == b"older"
    kept.save(b"newer")
    assert kept.load() == b"newer"
    assert len(files.names("checkpoints/a")) == 1
