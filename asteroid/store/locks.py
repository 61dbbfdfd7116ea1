"""Locks: keep two pipelines on one store from doing the same work, on any machines.

To take a lock, a process writes a lock file and then lists those of others. If there is a conflicting one, it removes
its own, waits a random time and tries again. Of two processes that try at once, at least one sees the other, because
both write before they list. This works in a folder and in S3: written files only have to appear in listings.

The holder renews its lock. A lock that has not been renewed for :data:`LIFETIME`, by the clock of the store, is void;
so is at once the lock of a process of this machine that has ended. A holder that could not renew, because the machine
slept or the store was unreachable, checks its lock before it continues (:meth:`Lock.confirm`).
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
from urllib.parse import unquote

from asteroid.errors import AsteroidError, StoreError
from asteroid.store import paths
from asteroid.store.files import Files

RENEWAL: Final = 20.0
"""s between two renewals."""

LIFETIME: Final = 90.0
"""s without a renewal after which a lock is void."""

TRIES: Final = 10
"""Number of checks before a lock counts as held by another process."""

PATIENCE: Final = (0.2, 5.0)
"""s, shortest and longest wait between two tries."""

_NAME: Final = re.compile(r"(\d+)-of-(\d+)-[0-9a-f]{32}\.json")


class Lock:
    """A lock; made by :func:`lock`."""

    def __init__(self, files: Files, folder: str, shard: int, shards: int) -> None:
        self._files = files
        self._folder = folder
        self._shard, self._shards = shard, shards
        self._name = f"{shard}-of-{shards}-{uuid.uuid4().hex}.json"
        self._renewed = -LIFETIME
        self._lost = False
        self._lock = threading.Lock()

    def confirm(self) -> None:
        """Check that the lock is still held; call it before each write that it protects.

        Raises:
            AsteroidError: when another process has taken the lock.
            StoreError: when the store cannot be reached.
        """
        with self._lock:
            if not self._lost and _now() - self._renewed > LIFETIME / 2:
                # Write before looking, as when taking a lock.
                self._write()
                self._lost = self._taken_over()
            if self._lost:
                raise AsteroidError(
                    f"another run has taken the lock {self._files.location(self._folder)}, because this one did not "
                    "renew it in time; run again to continue"
                )

    def _taken_over(self) -> bool:
        """Whether another process holds this lock; one that only tries removes its file at once."""
        for _ in range(TRIES):
            if not self._others():
                return False
            time.sleep(PATIENCE[0])
        return True

    def acquire(self) -> bool:
        """Try once to take the lock."""
        self._write()
        if not self._others():
            return True
        self.release()
        return False

    def release(self) -> None:
        self._files.remove(f"{self._folder}/{self._name}")

    def renew(self) -> None:
        with self._lock:
            # If it is late, :meth:`confirm` checks whether the lock is still held.
            if not self._lost and _now() - self._renewed <= LIFETIME / 2:
                self._write()

    def _write(self) -> None:
        self._files.write_json(f"{self._folder}/{self._name}", {"machine": _machine(), **_process(os.getpid())})
        self._renewed = _now()

    def _others(self) -> list[str]:
        """Valid conflicting locks; void ones are removed."""
        found = []
        try:
            own = self._files.modified(f"{self._folder}/{self._name}")
        except FileNotFoundError:
            # The folder was removed by hand.
            return [self._name]
        for name in self._files.names(self._folder):
            match = _NAME.fullmatch(name)
            if name == self._name or not match:
                continue
            # Shards i of n and j of m have frames in common if i and j are equal modulo gcd(n, m).
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
    """Hold a lock, after waiting for other holders.

    Args:
        work: name of the lock, in any characters.
        shard, shards: lock only the frames of this shard.
        on_wait: called every few seconds while waiting; when it raises, the wait ends.

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
        # The work is done; a lock that cannot be removed expires.
        with suppress(StoreError):
            held.release()


def held_locks(files: Files) -> list[str]:
    """Names of the locks that are held now, on any machine, in alphabetical order; a name per shard.

    The clocks of this machine and of the store may differ by up to :data:`LIFETIME`.
    """
    found = []
    for folder in files.names(paths.LOCKS):
        for name in files.names(f"{paths.LOCKS}/{folder}"):
            path = f"{paths.LOCKS}/{folder}/{name}"
            with suppress(FileNotFoundError):
                if (
                    _NAME.fullmatch(name)
                    and time.time() - files.modified(path) < LIFETIME
                    and not _is_gone(files, path)
                ):
                    found.append(unquote(folder))
    return sorted(found)


def _keep(held: Lock, ended: threading.Event) -> None:
    """Renew a lock until the work has ended."""
    while not ended.wait(RENEWAL):
        try:
            held.renew()
        except StoreError:
            # Try again next time; without the store, the holder's own writes fail, too.
            continue


def _now() -> float:
    """s, on a clock that runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


def _is_gone(files: Files, path: str) -> bool:
    """Whether the holder of a lock was a process of this machine that has ended.

    Raises:
        FileNotFoundError: when the lock no longer exists.
    """
    try:
        holder = json.loads(files.read(path))
        machine, pid, started = str(holder["machine"]), int(holder["pid"]), str(holder["started"])
    except (ValueError, KeyError, TypeError):
        # Foreign or truncated: its age decides.
        return False
    if not machine or machine != _machine():
        return False
    found = _process(pid)
    return found != {"pid": pid, "started": started} and (bool(found["started"]) or not _is_hidden(pid))


@functools.cache
def _machine() -> str:
    """Names the boot and the container that process ids belong to; "" where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_hidden(pid: int) -> bool:
    """Whether this is a running process of another user that ``/proc`` hides (hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _process(pid: int) -> dict[str, int | str]:
    """Id and start time of a process, because ids are reused; start time "" for one that has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {"pid": pid, "started": ""}
    return {"pid": pid, "started": "" if status[0] == "Z" else status[19]}
