"""Locks: two pipelines on one store do not do the same work at once, wherever each of them runs.

Whoever wants to do some work writes a file that says so, then lists the locks of others. If somebody else's is in the
way, it takes its own back, waits a random moment and tries again. Of two that try at the same time at least one sees
the other, since both write before they look; so this needs nothing of a store but that what is written can be listed,
which holds for a folder and for S3.

A lock is renewed as long as its holder lives. One that has not been renewed for :data:`LIFETIME`, by the clock of the
store, is void, and at once when its holder was a process of this machine that is no more. A holder that could not
renew, because the machine slept or the store was away, looks again before it goes on (:meth:`Lock.confirm`).
"""

import functools
import json
import os
import random
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import gcd
from pathlib import Path
from typing import Final

from asteroid.errors import AsteroidError, StoreError
from asteroid.store import paths
from asteroid.store.files import Files

RENEWAL: Final = 20.0
"""s between two renewals."""

LIFETIME: Final = 90.0
"""s without a renewal after which a lock is void: long against a slow store, short against a night."""

TRIES: Final = 10
"""Number of attempts to take a lock, a moment apart, before it counts as held by somebody else."""

PATIENCE: Final = (0.2, 5.0)
"""s, the shortest and the longest moment to wait for another's lock."""

_NAME: Final = re.compile(r"(\d+)-of-(\d+)-[0-9a-f]{32}\.json")


class Lock:
    """A lock that is held; made by :func:`lock`."""

    def __init__(self, files: Files, folder: str, shard: int, shards: int) -> None:
        self._files = files
        self._folder = folder
        self._shard, self._shards = shard, shards
        self._name = f"{shard}-of-{shards}-{uuid.uuid4().hex}.json"
        self._renewed = -LIFETIME
        self._lost = False
        self._lock = threading.Lock()

    def confirm(self) -> None:
        """To be called before what was locked is changed in the store.

        Raises:
            AsteroidError: when somebody else has taken the work over.
            StoreError: when the store cannot be reached.
        """
        with self._lock:
            if not self._lost and _now() - self._renewed > LIFETIME / 2:
                # Nobody may have waited for us so long; but they see us again before we look for them.
                self._write()
                self._lost = self._taken_over()
            if self._lost:
                raise AsteroidError(
                    f"another run has taken over what {self._files.location(self._folder)} names, because this one was "
                    "not heard of; run again to go on"
                )

    def _taken_over(self) -> bool:
        """Whether somebody holds this lock now, and does not merely try to: that one takes its own back at once."""
        for _ in range(TRIES):
            if not self._others():
                return False
            time.sleep(PATIENCE[0])
        return True

    def acquire(self) -> bool:
        """Try once."""
        self._write()
        if not self._others():
            return True
        self.release()
        return False

    def release(self) -> None:
        self._files.remove(f"{self._folder}/{self._name}")

    def renew(self) -> None:
        with self._lock:
            # One that is late leaves it to :meth:`confirm`, which looks whether the lock is still its own.
            if not self._lost and _now() - self._renewed <= LIFETIME / 2:
                self._write()

    def _write(self) -> None:
        self._files.write_json(f"{self._folder}/{self._name}", {"machine": _machine(), **_process(os.getpid())})
        self._renewed = _now()

    def _others(self) -> list[str]:
        """Living locks in the way of this one; dead ones are cleared away."""
        found = []
        try:
            own = self._files.modified(f"{self._folder}/{self._name}")
        except FileNotFoundError:
            # Somebody clears the folder away by hand.
            return [self._name]
        for name in self._files.names(self._folder):
            match = _NAME.fullmatch(name)
            if name == self._name or not match:
                continue
            # Frames of shard i of n and of shard j of m are hashes with those remainders: some have both.
            if (int(match[1]) - self._shard) % gcd(int(match[2]), self._shards):
                continue
            path = f"{self._folder}/{name}"
            try:
                void = own - self._files.modified(path) > LIFETIME or _is_gone(self._files, path)
            except FileNotFoundError:
                continue
            if void:
                self._files.remove(path)
            else:
                found.append(name)
        return found


@contextmanager
def lock(
    files: Files, work: str, *, shard: int = 0, shards: int = 1, on_wait: Callable[[], None] | None = None
) -> Iterator[Lock]:
    """Hold the right to do a piece of work, once those who hold it now have ended.

    Args:
        work: names it, in any characters.
        shard, shards: that only frames whose hash has this remainder are meant.
        on_wait: called every few seconds as long as others hold it; when it raises, the wait is over.

    Raises:
        StoreError: when the store cannot be written.
    """
    held = Lock(files, paths.lock(work), shard, shards)
    wait = PATIENCE[0]
    while not held.acquire():
        if on_wait:
            on_wait()
        time.sleep(random.uniform(wait / 2, wait))
        wait = min(2 * wait, PATIENCE[1])
    ended = threading.Event()
    thread = threading.Thread(target=_keep, args=(held, ended), name="asteroid-lock", daemon=True)
    thread.start()
    try:
        yield held
    finally:
        ended.set()
        thread.join()
        # What was to be done has been done; a lock that cannot be removed lapses by itself.
        with suppress(StoreError):
            held.release()


def _keep(held: Lock, ended: threading.Event) -> None:
    """Renew until the work has ended."""
    while not ended.wait(RENEWAL):
        try:
            held.renew()
        except StoreError:
            # The store may be back next time; if not, the holder hears of it when it writes.
            continue


def _now() -> float:
    """s on a clock that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


def _is_gone(files: Files, path: str) -> bool:
    """Whether a lock's holder was a process of this machine that has ended.

    Raises:
        FileNotFoundError: when the lock has gone.
    """
    try:
        holder = json.loads(files.read(path))
        machine, pid, started = str(holder["machine"]), int(holder["pid"]), str(holder["started"])
    except (ValueError, KeyError, TypeError):
        # Not written by us, or cut short: its age decides.
        return False
    if not machine or machine != _machine():
        return False
    found = _process(pid)
    return found != {"pid": pid, "started": started} and (bool(found["started"]) or not _is_hidden(pid))


@functools.cache
def _machine() -> str:
    """Names what process ids refer to: the machine since it was started, and the container; "" where nobody can say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_hidden(pid: int) -> bool:
    """Whether a process of another user runs that ``/proc`` does not show (mounted with hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _process(pid: int) -> dict[str, int | str]:
    """A process, by its id and by when it was started, as ids are used again; "" for one that is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {"pid": pid, "started": ""}
    return {"pid": pid, "started": "" if status[0] == "Z" else status[19]}
