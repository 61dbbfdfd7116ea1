"""Functions that tests of claims run in other processes."""

import time
from multiprocessing.connection import Connection
from pathlib import Path

from asteroid.claims import claim
from asteroid.files import Files

ENTRIES = 5


def hold(store: str, channel: Connection) -> None:
    """Claim the work and never let go."""
    with claim(Files(store), "job"):
        channel.send("held")
        time.sleep(600)


def enter_often(store: str, folder: Path) -> None:
    """Claim the work several times; fail when anybody else is in meanwhile."""
    for _ in range(ENTRIES):
        with claim(Files(store), "job"):
            with (folder / "inside").open("x"):
                time.sleep(0.02)
            with (folder / "entries").open("a") as entries:
                entries.write("x")
            (folder / "inside").unlink()
