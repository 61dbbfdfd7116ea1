"""Shards as flow runs on a Prefect server: kills of label workers, shard runs, pool workers and the server."""

import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from tests.chaos.harness import MOLECULE, ROOT, Toll, add_frames, check, kill_hard

GFN2 = "gfn2-xtb"
SHARDS = 2
PATIENCE = 180.0
"""s for a server and its workers to get to work."""

RESUBMISSION = 30.0
"""s after which shards that nobody works on are taken for lost."""

KINDS = {
    "label worker": "multiprocessing.spawn",
    "shard run": "prefect.engine",
    "pool worker": "worker start --pool cheap-cpu",
    "server": "server start",
}
"""What is killed, and what its command line contains."""


class LocalServer:
    """What ``make up`` starts, on ports and in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "state"
        port = _free_ports()
        self._health = f"http://127.0.0.1:{port}/api/health"
        own = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        self._environment = own | {
            "ASTEROID_PORT": str(port),
            "ASTEROID_STATE": str(self._state),
            "PREFECT_HOME": str(folder / "client"),
        }

    def up(self) -> None:
        self._call("infra.local", "up")

    def down(self) -> None:
        self._call("infra.local", "down")

    def submit(self, url: str) -> None:
        """Have all shards labelled; a server that is killed meanwhile has not taken them."""
        self._call("tests.chaos.submit", url, str(SHARDS))

    def processes(self) -> dict[str, list[int]]:
        """Those that may be killed, by kind."""
        found: dict[str, list[int]] = {kind: [] for kind in KINDS}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                mine = f"ASTEROID_STATE={self._state}".encode() in (entry / "environ").read_bytes()
            except OSError:
                continue
            for kind, text in KINDS.items():
                if mine and text in command and "resource_tracker" not in command:
                    found[kind].append(int(entry.name))
        return found

    def wait_for(self, kind: str) -> None:
        """Until one of this kind runs; a server, until it answers."""
        deadline = time.monotonic() + PATIENCE
        while not self.processes()[kind] or (kind == "server" and not self._answers()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {kind} was started again")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._health, timeout=5):
                return True
        except OSError:
            return False

    def _call(self, *module: str) -> None:
        command = [sys.executable, "-m", *module]
        # Clients find the server's address and secret in the folder where `make up` writes them.
        cwd = ROOT if module[0].startswith("infra") else self._state.parent
        done = subprocess.run(
            command,
            cwd=cwd,
            env=self._environment | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(module)}: {done.stdout}{done.stderr}")


def rampage_on_server(folder: Path, *, kills: int, seed: int, frames: int) -> Toll:
    """Kill every kind of process in turn while shards are labelled, then let them be finished."""
    dice = random.Random(seed)
    store, level = Store(folder / "store"), LevelOfTheory.parse(GFN2)
    toll = Toll(f"{GFN2}, Prefect server")
    start = time.monotonic()
    server = LocalServer(folder)
    server.up()
    try:
        kinds = [kind for kind in KINDS for _ in range(kills // len(KINDS))]
        dice.shuffle(kinds)
        for kind in kinds:
            _set_to_work(server, store, level, frames, dice)
            time.sleep(dice.uniform(0.1, 2.0))
            if not (victims := server.processes()[kind]):
                continue
            toll.kills[kind] += kill_hard(dice.choice(victims))
            if kind in ("pool worker", "server"):
                # What is left goes on without it for a moment; it is started again without anybody's doing.
                server.wait_for(kind)
        _finish(server, store, level)
    finally:
        server.down()
    toll.seconds = time.monotonic() - start
    check(store, GFN2, toll)
    return toll


def _set_to_work(server: LocalServer, store: Store, level: LevelOfTheory, frames: int, dice: random.Random) -> None:
    """Submit shards until one is seen labelling; runs submitted before may have left nothing for them."""
    deadline = time.monotonic() + PATIENCE
    submitted = -RESUBMISSION
    while not server.processes()["label worker"]:
        if time.monotonic() > deadline:
            raise TimeoutError("no shard was seen at work")
        if not store.pending(MOLECULE, level):
            add_frames(store, GFN2, frames, seed=dice.getrandbits(30))
            submitted = -RESUBMISSION
        if time.monotonic() - submitted >= RESUBMISSION:
            server.submit(store.url)
            submitted = time.monotonic()
        time.sleep(0.2)


def _finish(server: LocalServer, store: Store, level: LevelOfTheory) -> None:
    server.submit(store.url)
    deadline = time.monotonic() + PATIENCE
    while store.pending(MOLECULE, level):
        if time.monotonic() > deadline:
            raise TimeoutError("the shards were not finished")
        time.sleep(1.0)


def _free_ports() -> int:
    """A port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
