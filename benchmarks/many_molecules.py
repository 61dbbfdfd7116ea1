"""Overhead of the work pools for many small molecules: flow runs, CPU, memory of the parent, requests, database.

Molecules of two to four heavy atoms go through the whole pipeline on a server of their own, with the pools and workers
of ``make up``. Models and trainings are tiny, so the overhead is compared with little work: sampling, labels and the
start of processes are real, trainings take seconds. With ``--default-trainings``, models and validation are those of
the default settings.

CPU is that of all processes of a service and their children, as the kernel reports it when they end. Work is what the
store has accounted for: labels, sampling, trainings, MD. Everything else is overhead.

    python -m benchmarks.many_molecules [--molecules 10] [--frames 500] [--default-trainings] [--folder FOLDER]
"""

import argparse
import base64
import ctypes
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from asteroid.store import Store
from asteroid.store.account import spent
from asteroid.store.models import read_cards
from asteroid.store.rows import core_seconds

ROOT = Path(__file__).resolve().parent.parent
SMILES = tuple(
    """
    CC CCC CCCC CC(C)C C=C CC=C CCC=C CC=CC CC(=C)C C=CC=C C=C=C CC=C=C C#C CC#C CCC#C CC#CC C1CC1 C1CCC1 CC1CC1 C1=CC1
    C1=CCC1 CO CCO CCCO CC(C)O COC CCOC COCO OCCO C=CO C=CCO C=COC C#CCO C1CO1 CC1CO1 C1COC1 C=O CC=O CCC=O CC(=O)C
    C=CC=O O=CC=O O=CCO C=C=O CC=C=O OC=O CC(=O)O COC=O CN CCN CCCN CC(C)N CNC CCNC CN(C)C NCCN NCCO CNCO C1CN1 CC1CN1
    C1CNC1 C=CN C=CCN C=N CC=N CN=C C#N CC#N CCC#N C=CC#N N#CC#N N#CCO NC#N NC=O CC(=O)N CNC=O NC(=O)N NCC=O NC(=O)O
    CC=NO C=NO NO CNO CON NN CNN CF CCF CCCF FCF FC(F)F FCCF C=CF CC(F)F OCF O=CF CC(=O)F CS CCS CSC CCCS CCSC C=S CC=S
    CCl CCCl
    """.split()  # noqa: SIM905 (a list of a hundred lines)
)

MANIFEST = """
store: {store}
defaults:
  cheap: gfn2-xtb
  accurate: hf/sto-3g
  sampling: {{frames: {frames}, temperatures: [300], conformers: 1, interval: 5, equilibration: 20}}
  budget: {{accurate: 5, test: 2}}
{training}molecules:
"""
TINY = """  training:
    model: {channels: 4, max_l: 0, correlation: 1, interactions: 1}
    pretrain_steps: 20
    finetune_steps: 20
    correction_steps: 20
    evaluate_every: 10
    warm_restarts: 0
  validation: {temperatures: [300], nve_ps: 0.02, nvt_ps: 0.02, curve: false, on_policy: 0, torsion_points: 0}
"""
PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")


def name_of(smiles: str) -> str:
    """A name that asteroid accepts: ``CC(=O)O`` and ``CC=O`` must differ."""
    return "m-" + smiles.translate(str.maketrans("()=#", "pqdt"))


def write_manifest(folder: Path, molecules: int, frames: int, training: str) -> Path:
    path = folder / "manifest.yaml"
    lines = [f'  - {{name: {name_of(smiles)}, smiles: "{smiles}"}}' for smiles in SMILES[:molecules]]
    head = MANIFEST.format(store=folder / "store", frames=frames, training=training)
    path.write_text(head + "\n".join(lines) + "\n")
    return path


class Services:
    """What ``make up`` starts, on ports and in a folder of its own; measures what its processes take."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._state, self._port = folder, folder / "state", _free_port()
        self.cpu: dict[str, float] = defaultdict(float)
        self.parent_mib = 0.0
        self._sessions: dict[int, str] = {}
        self._known: dict[int, tuple[str, str]] = {}
        """Start time and service of each process that was seen: flow runs are sessions of their own."""
        self._over = threading.Event()
        own = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        self._environment = own | {"ASTEROID_PORT": str(self._port), "ASTEROID_STATE": str(self._state)}

    def __enter__(self) -> "Services":
        # Orphans become children of this process, which learns their CPU time when they end.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        profile = self._state / "prefect" / "profiles.toml"
        profile.parent.mkdir(parents=True)
        profile.write_text('active = "bench"\n[profiles.bench]\nPREFECT_SERVER_LOGGING_LEVEL = "INFO"\n')
        self._call("up")
        for path in (self._state / "pids").iterdir():
            self._sessions |= {int(pid): path.name for pid in path.read_text().split()}
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._call("down")
        time.sleep(2.0)
        self._reap()

    def ask(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        auth = (self._state / "auth").read_text().strip()
        headers = {"Content-Type": "application/json"}
        headers["Authorization"] = f"Basic {base64.b64encode(auth.encode()).decode()}"
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/api/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def requests(self) -> Counter[str]:
        """Requests that the server has answered, by method and path, from its log."""
        found: Counter[str] = Counter()
        for line in (self._state / "server.log").read_text(errors="replace").splitlines():
            if asked := re.search(r'"([A-Z]+) /api/(\S+) HTTP', line):
                path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", asked[2])
                found[f"{asked[1]} {path.partition('?')[0]}"] += 1
        return found

    def database_mib(self) -> float:
        return sum(path.stat().st_size for path in (self._state / "prefect").glob("prefect.db*")) / 2**20

    def _call(self, what: str) -> None:
        command = [sys.executable, "-m", "infra.local", what]
        subprocess.run(command, cwd=ROOT, env=self._environment, check=True, timeout=300, stdout=subprocess.DEVNULL)

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            # A process may end while its entry is read.
            with suppress(OSError):
                self._reap()
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    if self._service(entry) != "worker-orchestrator" or b"worker" in (entry / "cmdline").read_bytes():
                        continue
                    status = (entry / "status").read_text()
                except OSError:
                    continue
                if peak := re.search(r"VmHWM:\s+(\d+)", status):
                    self.parent_mib = max(self.parent_mib, int(peak[1]) / 1024)

    def _service(self, entry: Path) -> str:
        """The service that a process is part of: that of its session, or of its parent when it was first seen."""
        pid, fields = int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()
        begun, known = fields[19], self._known.get(pid)
        if known is None or known[0] != begun:
            service = self._sessions.get(int(fields[3])) or self._known.get(int(fields[1]), ("", ""))[1]
            if not service:
                return ""
            known = self._known[pid] = begun, service
        return known[1]

    def _reap(self) -> None:
        """Add the CPU time of ended children with their children, by the service that started them."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            entry = Path("/proc", str(ended.si_pid))
            if service := self._service(entry):
                times = (entry / "stat").read_text().rpartition(")")[2].split()[11:15]
                self.cpu[service] += sum(map(int, times)) / TICKS
                os.waitpid(ended.si_pid, 0)
            else:
                # Those of this program are waited for by whoever started them.
                if entry.exists() and self._over.is_set():
                    os.waitpid(ended.si_pid, 0)
                    continue
                return


def _free_port() -> int:
    """A port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            with suppress(OSError):
                second.bind(("127.0.0.1", port + 1))
                return port


def work(store: Store, molecules: list[str]) -> dict[str, float]:
    """Core-seconds that the store has accounted for, by kind."""
    found: dict[str, float] = defaultdict(float)
    for molecule in molecules:
        for level in store.levels(molecule):
            found[f"labels {level}"] += float(core_seconds(store.attempts(molecule, level)).sum())
        for charge in spent(store, molecule):
            found[charge.stage] += charge.cpu_seconds
        found["training"] += sum(card.core_seconds for card in read_cards(store, molecule))
    return dict(found)


def measure(folder: Path, molecules: int, frames: int, training: str) -> None:
    manifest = write_manifest(folder, molecules, frames, training)
    with Services(folder) as services:
        requests = services.requests()
        deployment = services.ask("GET", "deployments/name/asteroid/full-pipeline")
        begun = time.monotonic()
        parameters = {"parameters": {"manifest": str(manifest)}}
        run = services.ask("POST", f"deployments/{deployment['id']}/create_flow_run", parameters)
        while (run := services.ask("GET", f"flow_runs/{run['id']}"))["state"]["type"] not in (
            *("COMPLETED", "FAILED", "CRASHED", "CANCELLED"),
        ):
            time.sleep(5.0)
        wall = time.monotonic() - begun
        runs = services.ask("POST", "flow_runs/count", {}) - 1
        asked = services.requests() - requests
        database = services.database_mib()
    store = Store(folder / "store")
    print(f"{run['state']['type']} {(run['state']['message'] or '')[:2000]}")
    print(f"{molecules} molecules of {frames} frames: {wall:.0f} s wall, {runs} flow runs besides the parent")
    print(f"parent: {services.parent_mib:.0f} MiB; database: {database:.1f} MiB; requests: {asked.total()}")
    for what, count in asked.most_common(8):
        print(f"  {count:8d} {what}")
    useful = work(store, [name_of(smiles) for smiles in SMILES[:molecules]])
    total = sum(services.cpu.values(), 0.0)
    print("CPU s of services with all their processes:")
    for service, seconds in sorted(services.cpu.items()):
        print(f"  {seconds:8.1f} {service}")
    print("CPU s of work:")
    for kind, seconds in sorted(useful.items()):
        print(f"  {seconds:8.1f} {kind}")
    done = sum(useful.values())
    rest = total - done
    print(
        f"total {total:.0f} CPU s, work {done:.0f}, overhead {rest:.0f}: "
        f"{rest / molecules:.1f} for each molecule, {100 * rest / done:.0f} % of the work"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=10, help=f"number of molecules, up to {len(SMILES)}")
    parser.add_argument("--frames", type=int, default=500, help="frames of each molecule")
    parser.add_argument("--default-trainings", action="store_true", help="models and validation are not tiny")
    parser.add_argument("--folder", type=Path, help="keeps store and logs (a temporary folder by default)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        training = "" if arguments.default_trainings else TINY
        measure(folder, arguments.molecules, arguments.frames, training)


if __name__ == "__main__":
    main()
