"""Stores that are full, cannot be written, or hold what does not belong there: one line, and nothing is lost."""

import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from asteroid.store import Store
from tests.chaos.harness import MOLECULE, Campaign, Toll, add_frames, check

GFN2 = "gfn2-xtb"
FRAMES = 60


def filled(path: Path) -> Store:
    store = Store(path)
    add_frames(store, GFN2, FRAMES, seed=1)
    return store


def the_one_line(campaign: Campaign) -> str:
    errors = campaign.wait()
    assert campaign.process.returncode == 1, errors
    assert errors.count("\n") == 1, errors
    return errors


def finish(store: Store) -> None:
    """Run again, and find everything labelled once."""
    assert not Campaign(store.url, GFN2).wait()
    check(store, GFN2, Toll("finished"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_files_that_may_not_grow_stop_a_campaign_and_it_goes_on_when_they_may(tmp_path):
    store = filled(tmp_path)
    tiny = 4096  # holds a lock and what processes share, and no Parquet file
    error = the_one_line(
        Campaign(store.url, GFN2, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (tiny, tiny)))
    )
    assert "cannot write" in error
    assert "labels/level=gfn2-xtb" in error
    assert not list(tmp_path.rglob("*.tmp"))
    assert store.attempts(MOLECULE, store.levels(MOLECULE)[0]).num_rows == 0
    finish(store)


def test_a_full_disk_stops_a_campaign_and_it_goes_on_when_there_is_room(small_disk):
    store = filled(small_disk)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(2**20))
    assert "No space left" in the_one_line(Campaign(store.url, GFN2))
    ballast.unlink()
    finish(store)


def test_a_store_that_is_read_only_stops_a_campaign_at_once(small_disk):
    store = filled(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert "Read-only file system" in the_one_line(Campaign(store.url, GFN2))
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    finish(store)
    # With nothing to do, nothing is written.
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert not Campaign(store.url, GFN2).wait()


def test_a_truncated_file_is_named_and_what_it_held_is_computed_again(tmp_path):
    store = filled(tmp_path)
    finish(store)
    add_frames(store, GFN2, FRAMES, seed=2)
    file = next((tmp_path / "labels").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:1000])
    assert str(file) in the_one_line(Campaign(store.url, GFN2))
    file.unlink()
    finish(store)


def test_a_foreign_table_is_named_and_other_foreign_files_are_left_alone(tmp_path):
    store = filled(tmp_path)
    folder = tmp_path / "labels" / "level=gfn2-xtb" / f"molecule={MOLECULE}"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("not a label")
    (folder / "table.parquet").write_text("not a table")
    assert "table.parquet" in the_one_line(Campaign(store.url, GFN2))
    (folder / "table.parquet").unlink()
    finish(store)
    assert (folder / "notes.txt").read_text() == "not a label"
