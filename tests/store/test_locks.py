"""asteroid/store/locks.py: one at a time, whoever dies, sleeps or never answers."""

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from asteroid.errors import AsteroidError
from asteroid.store import locks
from asteroid.store.files import Files
from asteroid.store.locks import held_locks, lock
from tests import lock_holders

SPAWN = multiprocessing.get_context("spawn")


class GaveUp(Exception):
    """What these tests raise to end a wait."""


def give_up() -> None:
    raise GaveUp


def is_free(files: Files, *, shard: int = 0, shards: int = 1) -> bool:
    """Whether the work can be locked at once."""
    try:
        with lock(files, "job", shard=shard, shards=shards, on_wait=give_up):
            return True
    except GaveUp:
        return False


def foreign_lock(files: Files, name: str = "0-of-1-" + 32 * "0" + ".json") -> str:
    """A lock from another machine, as it is while its holder lives."""
    path = f"locks/job/{name}"
    files.write_json(path, {"machine": "another", "pid": 1, "started": "1"})
    return path


def age(files: Files, path: str, seconds: float) -> None:
    assert files.local is not None
    then = time.time() - seconds
    os.utime(files.local / path, (then, then))


def test_work_that_is_locked_is_free_again_when_the_lock_ends(store_url):
    files = Files(store_url)
    with lock(files, "job"):
        assert not is_free(files)
        with lock(files, "other work", on_wait=give_up):
            pass
    assert is_free(files)
    assert files.names("locks/job") == []


def test_held_locks_are_listed_by_name(store_url):
    files = Files(store_url)
    assert held_locks(files) == []
    with lock(files, "labels water mp2/cc-pvdz", shard=1, shards=2), lock(files, "job"):
        assert held_locks(files) == ["job", "labels water mp2/cc-pvdz"]
    assert held_locks(files) == []


def test_a_lock_that_was_not_renewed_for_long_is_not_listed(tmp_path):
    files = Files(tmp_path)
    path = foreign_lock(files)
    assert held_locks(files) == ["job"]
    age(files, path, locks.LIFETIME + 20)
    assert held_locks(files) == []


def test_an_error_ends_a_lock(tmp_path):
    files = Files(tmp_path)
    with pytest.raises(KeyError), lock(files, "job"):
        raise KeyError
    assert is_free(files)


def test_whoever_waits_goes_on_when_the_other_has_ended(store_url):
    files = Files(store_url)
    waited = threading.Event()
    order: list[str] = []

    def second() -> None:
        with lock(files, "job", on_wait=waited.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with lock(files, "job"):
        thread.start()
        assert waited.wait(10)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


@pytest.mark.parametrize("mine", [(0, 1), (1, 2), (2, 3), (1, 4), (5, 6)])
def test_shards_are_in_each_others_way_where_a_hash_falls_to_both(mine, tmp_path):
    files = Files(tmp_path)
    with lock(files, "job", shard=mine[0], shards=mine[1]):
        for shards in range(1, 7):
            for shard in range(shards):
                both = any(h % mine[1] == mine[0] and h % shards == shard for h in range(60))
                assert is_free(files, shard=shard, shards=shards) != both


def test_the_lock_of_a_killed_process_of_this_machine_is_void_at_once(store_url):
    files = Files(store_url)
    ours, theirs = SPAWN.Pipe()
    holder = SPAWN.Process(target=lock_holders.hold, args=(store_url, theirs))
    holder.start()
    assert ours.recv() == "held"
    assert not is_free(files)
    assert holder.pid
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert is_free(files)


def test_the_lock_of_another_machine_is_void_when_it_was_not_renewed_for_long(tmp_path):
    files = Files(tmp_path)
    path = foreign_lock(files)
    assert not is_free(files)
    age(files, path, locks.LIFETIME - 20)
    assert not is_free(files)
    age(files, path, locks.LIFETIME + 20)
    assert is_free(files)
    assert not files.exists(path)


def test_a_lock_is_renewed_as_long_as_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "RENEWAL", 0.1)
    files = Files(tmp_path)
    with lock(files, "job") as held:
        (name,) = files.names("locks/job")
        before = files.modified(f"locks/job/{name}")
        time.sleep(0.5)
        assert files.modified(f"locks/job/{name}") > before
        held.confirm()


def test_a_holder_that_slept_goes_on_when_nobody_came(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "LIFETIME", 0.2)
    with lock(Files(tmp_path), "job") as held:
        time.sleep(0.3)
        held.confirm()
        held.confirm()


def test_a_holder_that_slept_while_another_took_over_must_stop(tmp_path, monkeypatch):
    # Long against what a loaded machine takes from one write to the next.
    monkeypatch.setattr(locks, "LIFETIME", 3.0)
    # As on two machines: the other cannot see that this process lives.
    monkeypatch.setattr(locks, "_machine", lambda: "")
    files = Files(tmp_path)
    with lock(files, "job") as held:
        time.sleep(3.2)
        with lock(files, "job", on_wait=give_up):
            with pytest.raises(AsteroidError, match="another run has taken the lock"):
                held.confirm()
            with pytest.raises(AsteroidError, match="another run has taken the lock"):
                held.confirm()


def test_lock_holders_in_several_processes_are_never_in_at_the_same_time(tmp_path):
    crowd = [SPAWN.Process(target=lock_holders.enter_often, args=(str(tmp_path / "store"), tmp_path)) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join(60)
    assert [one.exitcode for one in crowd] == [0, 0, 0, 0]
    assert (tmp_path / "entries").read_text() == "x" * 4 * lock_holders.ENTRIES


def test_what_is_no_lock_is_in_nobodys_way(tmp_path):
    files = Files(tmp_path)
    files.write_json("locks/job/notes.json", {})
    assert is_free(files)
    broken = foreign_lock(files)
    files.write(broken, b'{"machine"')
    assert not is_free(files)
    age(files, broken, locks.LIFETIME + 20)
    assert is_free(files)


def test_a_lock_says_who_holds_it(tmp_path):
    files = Files(tmp_path)
    with lock(files, "labels water ccsd(t)/cc-pvdz"):
        (file,) = (Path(tmp_path) / "locks" / "labels%20water%20ccsd%28t%29%2Fcc-pvdz").iterdir()
        assert json.loads(file.read_text())["pid"] == os.getpid()
