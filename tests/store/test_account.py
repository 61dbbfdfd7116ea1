"""The account of work that is neither a label nor a training."""

from pathlib import Path

import pytest

from asteroid.processes import call_in_process
from asteroid.store.account import charge, spent
from asteroid.store.files import Files
from asteroid.usage import Usage, measure

WORK = 300_000


def burn() -> int:
    return sum(i * i for i in range(WORK))


def total(files: Files) -> float:
    return sum(entry.cpu_seconds for entry in spent(files, "water"))


def test_a_process_has_one_file_whose_seconds_grow(tmp_path: Path) -> None:
    files = Files(tmp_path)
    seen = []
    with measure() as all_of_it, charge(files, "water", "validation") as entry:
        for _ in range(2):
            burn()
            entry.save()
            seen.append(total(files))
        entry.model_id = "a"
    assert 0 < seen[0] < seen[1] <= total(files)
    assert [(entry.stage, entry.model_id) for entry in spent(files, "water")] == [("validation", "a")]
    # What was charged is nobody else's.
    assert all_of_it.cpu < 0.5 * total(files)


def test_work_that_fails_is_charged_too(tmp_path: Path) -> None:
    files = Files(tmp_path)

    def fail() -> None:
        with charge(files, "water", "training"):
            burn()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert total(files) > 0


def test_a_training_within_has_a_record_of_its_own(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with charge(files, "water", "training") as entry, measure() as training:
        burn()
        # As a training does when it tells its progress.
        entry.save()
    assert total(files) < 0.5 * training.cpu


def test_looking_that_everything_is_there_is_not_written_down(tmp_path: Path) -> None:
    with charge(Files(tmp_path), "water", "training"):
        pass
    with charge(Files(tmp_path), "water", "sampling", own=False):
        burn()
    assert spent(Files(tmp_path), "water") == []


def charged_import(folder: str) -> None:
    with charge(Files(folder), "water", "exploration"):
        pass


def test_starting_a_process_belongs_to_what_it_was_started_for(tmp_path: Path) -> None:
    call_in_process(charged_import, str(tmp_path))
    # The interpreter and its imports.
    assert total(Files(tmp_path)) > 0.05


def test_earlier_processes_of_the_same_work_count() -> None:
    with measure() as used:
        used.add_earlier(10.0, 20.0, 30.0)
    assert (round(used.wall), round(used.cpu), round(used.gpu)) == (10, 20, 30)
    with measure("cuda:0") as held:
        burn()
    assert held.gpu == held.wall > 0
    assert Usage().gpu == 0
