"""Folders for temporary files: gone with whoever used them."""

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from asteroid.labelling.scratch import scratch_folder

OWNER = """
import tempfile, time
tempfile.tempdir = {place!r}
from asteroid.labelling.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def test_a_folder_of_a_killed_process_is_removed_and_one_in_use_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", OWNER.format(place=str(tmp_path))]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as working,
    ):
        assert killed.stdout is not None
        assert working.stdout is not None
        left, used = (Path(process.stdout.readline().strip()) for process in (killed, working))
        (left / "integrals.h5").write_bytes(b"large")
        killed.kill()
        killed.wait()
        assert left.exists()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with scratch_folder() as own:
            assert not left.exists()
            assert used.exists()
            assert Path(own).exists()
        assert not Path(own).exists()
        working.kill()


def test_a_file_system_without_locks_has_folders_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with scratch_folder() as first, scratch_folder():
        assert Path(first).exists(), "the second has not taken it for abandoned"
    assert not any(tmp_path.iterdir())
