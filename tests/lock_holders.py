"""Functions that tests of locks run in other processes."""

import time
from multiprocessing.connection import Connection
from pathlib import Path

from asteroid.store.files import Files
from asteroid.store.locks import lock

ENTRIES = 5


def hold(store: str, channel: Connection) -> None:
    """Lock the work and never let go."""
    with lock(Files(store), "job"):
        channel.send("held")
        time.sleep(600)


def enter_often(store: str, folder: Path) -> None:
    """Lock the work several times; fail when anybody else is in meanwhile."""
    for _ in range(ENTRIES):
        with lock(Files(store), "job"):
            with (folder / "inside").open("x"):
                time.sleep(0.02)
            with (folder / "entries").open("a") as entries:
                entries.write("x")
            (folder / "inside").unlink()
