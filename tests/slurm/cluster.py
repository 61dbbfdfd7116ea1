"""A Slurm cluster of two nodes on this machine: munged, slurmctld and two slurmd, with all their state in one folder.

Debian's slurmd is built for several daemons on one host. Everything listens on this host and is stopped at the end.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.slurm.processes import command_of, processes_with

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
NODES = ("n1", "n2")
CORES = 2
"""Of each node."""
PATIENCE = 90.0
"""s"""

CONFIGURATION = """
ClusterName=asteroid
FirstJobId={first}
SlurmctldHost={host}(127.0.0.1)
SlurmctldAddr=127.0.0.1
SlurmctldPort={ports[0]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5
MpiDefault=none
ReturnToService=2
SlurmUser=root
SlurmdUser=root
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=30
MinJobAge=300
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why there can be no cluster here; None if there can."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"without {', '.join(absent)} (Debian: apt-get install slurmctld slurmd slurm-client munge)"
    return None if os.geteuid() == 0 else "as another user than root"


@dataclass
class Cluster:
    """Daemons of the cluster, started by :func:`cluster`."""

    folder: Path
    environment: dict[str, str]
    """Of everything that uses it."""

    def run(self, *command: str) -> str:
        """Output of one of Slurm's commands."""
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        if result.returncode:
            raise RuntimeError(f"{' '.join(command)}: {result.stdout}{result.stderr}")
        return result.stdout

    def jobs(self, *options: str) -> dict[str, str]:
        """Node of every job that is not yet over, "" while it waits."""
        lines = self.run("squeue", "--noheader", "--format=%i|%N", *options).split()
        return dict(line.split("|") for line in lines)

    def running(self) -> dict[str, str]:
        """Node of every running job."""
        return self.jobs("--states=RUNNING")

    def state(self, node: str) -> str:
        """Such as idle, mixed, down*, drained."""
        return self.run("sinfo", "--noheader", f"--nodes={node}", "--format=%T").split()[0]

    def start_node(self, node: str) -> None:
        """Start a node's slurmd, and wait until it takes jobs."""
        subprocess.run(["slurmd", "-N", node], env=self.environment, check=True)
        wait(lambda: "*" not in self.state(node) and not self.state(node).startswith("down"), f"{node} did not come up")

    def lose_node(self, node: str) -> None:
        """Kill everything that runs on a node at once, as when it loses its power, and wait until Slurm notices."""
        jobs = [job for job, where in self.running().items() if where == node]
        victims = [int((self.folder / f"slurmd.{node}.pid").read_text())]
        for job in jobs:
            victims += processes_with(f"SLURM_JOB_ID={job}")
            victims += [pid for pid in _all_processes() if f"slurmstepd: [{job}." in command_of(pid)]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait(lambda: self.state(node).startswith("down"), f"Slurm did not notice the loss of {node}")


@contextlib.contextmanager
def cluster(folder: Path, environment: dict[str, str]) -> Iterator[Cluster]:
    """Start the daemons; stop them, with the jobs that are left, at the end.

    Raises:
        TimeoutError: when the nodes do not come up.
    """
    folder.mkdir(parents=True)
    (folder / "state").mkdir()
    ports = [_free_port() for _ in range(1 + len(NODES))]
    host = socket.gethostname().partition(".")[0]
    nodes = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CORES} RealMemory=8000"
        for node, port in zip(NODES, ports[1:], strict=True)
    ]
    # Processes are found by the number of their job, so two clusters on this machine must not have the same numbers.
    first = random.randrange(1, 60_000_000)
    text = CONFIGURATION.format(host=host, folder=folder, ports=ports, first=first)
    (folder / "slurm.conf").write_text("\n".join([text, *nodes, ""]))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    made = Cluster(folder, environment | {"SLURM_CONF": str(folder / "slurm.conf")})
    munge = {name: folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
    files = [
        f"--key-file={key}",
        *(f"--{name}{'' if name == 'socket' else '-file'}={path}" for name, path in munge.items()),
    ]
    try:
        subprocess.run(["munged", "--force", *files], env=made.environment, check=True, capture_output=True)
        subprocess.run(["slurmctld", "-c"], env=made.environment, check=True, capture_output=True)
        for node in NODES:
            made.start_node(node)
        yield made
    finally:
        with contextlib.suppress(RuntimeError, OSError, subprocess.SubprocessError):
            made.run("scancel", "--user=root")
            wait(lambda: not made.jobs(), "jobs did not end")
        for name in (*(f"slurmd.{node}" for node in NODES), "slurmctld", "munge"):
            _stop(folder / f"{name}.pid")


def wait(reached: Callable[[], bool], otherwise: str, seconds: float = PATIENCE) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: after some time, s.
    """
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} within {seconds:.0f} s")
        time.sleep(0.5)


def _stop(file: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        pid = int(file.read_text())
        os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            wait(lambda: not Path(f"/proc/{pid}").exists(), file.name, 20)
        os.kill(pid, signal.SIGKILL)


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
