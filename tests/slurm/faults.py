"""Faults of a cluster: lost nodes, ended walltimes, cancelled jobs, drained nodes, killed workers."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

from tests.slurm.cluster import NODES, Cluster
from tests.slurm.processes import command_of, processes_with, variable_of
from tests.slurm.site import Site

KINDS = ("worker killed", "scancel", "node lost", "walltime", "node drained")
MOST_HITS = 2
"""Flow runs of one step that are made to fail: the parent submits it three times."""
DRAINED_SECONDS = 30.0
NOTICE = 30
"""s before a walltime's end, as in the pools' file."""


class Faults:
    """Makes faults one after another, and counts them by kind.

    Args:
        most: number of faults, of the KINDS in turn.
    """

    def __init__(self, cluster: Cluster, site: Site, *, most: int, seed: int) -> None:
        self._cluster, self._site = cluster, site
        self._dice = random.Random(seed)
        self._next = [KINDS[number % len(KINDS)] for number in range(most)]
        self._hits: Counter[str] = Counter()
        """Crashed flow runs of each step."""
        self._doomed: set[str] = set()
        """Jobs whose walltime was shortened."""
        self._drained: dict[str, float] = {}
        self.done: Counter[str] = Counter()
        self.in_flight: Counter[str] = Counter()
        """Of these, the faults that met a flow run."""
        self.log: list[str] = []

    def step(self) -> None:
        """Make the next fault if there is a victim for it; return drained nodes to service."""
        for node, since in list(self._drained.items()):
            if time.monotonic() - since > DRAINED_SECONDS:
                self.resume(node)
        for kind in dict.fromkeys(self._next):
            make: Callable[[dict[str, str]], str | None] = {
                "worker killed": self._kill_worker,
                "scancel": self._cancel,
                "node lost": self._lose_node,
                "walltime": self._end_walltime,
                "node drained": self._drain,
            }[kind]
            if (what := make(self._victims())) is not None:
                self._next.remove(kind)
                self.done[kind] += 1
                self.log.append(f"{time.strftime('%T')} {kind}: {what}")
                print(f"slurm-test: {self.log[-1]}", flush=True)
                return

    def resume(self, *nodes: str) -> None:
        """Return drained nodes to service."""
        for node in nodes or list(self._drained):
            self._drained.pop(node, None)
            self._cluster.run("scontrol", "update", f"nodename={node}", "state=resume")

    def _victims(self) -> dict[str, str]:
        """Name of the flow run of each running pilot that has one and may lose it."""
        known = self._site.ask("flow_runs/filter", {"limit": 200})
        self._hits = Counter(run["name"] for run in known if run["state_type"] == "CRASHED")
        found = {}
        for job in self._cluster.running():
            runs = [pid for pid in processes_with(f"SLURM_JOB_ID={job}") if "prefect.engine" in command_of(pid)]
            names = [self._name_of(pid) for pid in runs]
            if names and job not in self._doomed and all(name and self._hits[name] < MOST_HITS for name in names):
                found[job] = str(names[0])
        return found

    def _name_of(self, pid: int) -> str | None:
        run = variable_of(pid, "PREFECT__FLOW_RUN_ID")
        return run and str(self._site.ask(f"flow_runs/{run}")["name"])

    def _pick(self, kind: str, victims: dict[str, str]) -> str | None:
        """A running pilot, rather one that computes labels."""
        labelling = [job for job, name in victims.items() if "labels" in name]
        if not victims:
            return None
        job = self._dice.choice(labelling or list(victims))
        self.in_flight[kind] += 1
        return job

    def _kill_worker(self, victims: dict[str, str]) -> str | None:
        job = self._pick("worker killed", victims)
        if job is None:
            return None
        for pid in processes_with(f"SLURM_JOB_ID={job}"):
            if "worker start" in command_of(pid):
                os.kill(pid, signal.SIGKILL)
        return f"job {job} with {victims[job]}"

    def _cancel(self, victims: dict[str, str]) -> str | None:
        job = self._pick("scancel", victims)
        if job is None:
            return None
        self._cluster.run("scancel", job)
        return f"job {job} with {victims[job]}"

    def _end_walltime(self, victims: dict[str, str]) -> str | None:
        """Shorten a pilot's time limit so that its end is near."""
        job = self._pick("walltime", victims)
        if job is None:
            return None
        shown = self._cluster.run("squeue", "--noheader", f"--jobs={job}", "--format=%M").strip()
        minutes, seconds = (int(part) for part in shown.split(":")[-2:])
        limit = (60 * minutes + seconds + NOTICE) // 60 + 1
        self._cluster.run("scontrol", "update", f"JobId={job}", f"TimeLimit={limit}")
        self._doomed.add(job)
        return f"job {job} with {victims[job]}, {shown} old, ends after {limit} min"

    def _lose_node(self, victims: dict[str, str]) -> str | None:
        """A node whose flow runs may all be lost; it comes back once Slurm has noticed."""
        where = self._cluster.running()
        busy = {job for job in where if any("prefect.engine" in c for c in self._commands(job))}
        nodes = {
            node
            for node in NODES
            if node not in self._drained
            and any(where[job] == node for job in victims)
            and all(job in victims for job in busy if where[job] == node)
        }
        if not nodes:
            return None
        node = self._dice.choice(sorted(nodes))
        lost = [victims[job] for job in victims if where[job] == node]
        self.in_flight["node lost"] += 1
        self._cluster.lose_node(node)
        self._cluster.start_node(node)
        return f"{node} with {', '.join(lost)}"

    def _drain(self, victims: dict[str, str]) -> str | None:
        """Not while the other one is drained: then nothing could run."""
        where = self._cluster.running()
        nodes = sorted({where[job] for job in victims if job in where})
        if self._drained or not nodes:
            return None
        node = self._dice.choice(nodes)
        self._cluster.run("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
        self._drained[node] = time.monotonic()
        self.in_flight["node drained"] += 1
        return f"{node} for {DRAINED_SECONDS:.0f} s; its pilots go on"

    def _commands(self, job: str) -> list[str]:
        return [command_of(pid) for pid in processes_with(f"SLURM_JOB_ID={job}")]
