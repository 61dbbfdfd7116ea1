"""Check the machine: versions, threads, memory, disk, and access to the store."""

import importlib.metadata
import os
import platform
import shutil
import uuid
from pathlib import Path

from asteroid.doctor.check import Check
from asteroid.errors import AsteroidError
from asteroid.processes import machine_memory
from asteroid.store import Store
from asteroid.version import __version__

PACKAGES = {
    "label": ("ase", "pyscf", "pyscf-dispersion", "rdkit", "tblite", "xtb"),
    "train": ("torch", "mace-torch"),
    "flows": ("prefect", "fastapi"),
    "report": ("matplotlib",),
}
"""Packages of each extra whose version is shown."""

MEMORY = 1.0
"""GiB per core; with less, coupled cluster of a small molecule may not fit."""

DISK = 1.0
"""GB; with less, a store may fill its disk."""


def check_versions() -> list[Check]:
    """Versions of the packages of each extra."""
    core = f"asteroid {__version__}, Python {platform.python_version()}"
    core += "".join(f", {name} {importlib.metadata.version(name)}" for name in ("numpy", "pyarrow", "pandas"))
    checks = [Check("versions", "ok", core)]
    for extra, packages in PACKAGES.items():
        found, absent = [], []
        for package in packages:
            try:
                found.append(f"{package} {importlib.metadata.version(package)}")
            except importlib.metadata.PackageNotFoundError:
                absent.append(package)
        if absent:
            advice = f"to use them: pip install 'asteroid-forcefields[{extra}]'"
            checks.append(Check(f"versions: {extra}", "skipped", f"not installed: {', '.join(absent)}", advice))
        if found:
            checks.append(Check(f"versions: {extra}", "ok", ", ".join(found)))
    return checks


def check_threads() -> list[Check]:
    """Check that processes and threads do not exceed the cores of this process."""
    cores = len(os.sched_getaffinity(0))
    processes = os.environ.get("ASTEROID_CORES", "")
    threads = os.environ.get("OMP_NUM_THREADS", "")
    found = f"{cores} cores, ASTEROID_CORES {processes or 'not set'}, OMP_NUM_THREADS {threads or 'not set'}"
    if processes and (not processes.isdecimal() or int(processes) > cores):
        return [Check("threads", "warning", found, f"write ASTEROID_CORES={cores} or less, or leave it out")]
    if threads and (not threads.isdecimal() or int(threads) > cores):
        return [Check("threads", "warning", found, f"write OMP_NUM_THREADS=1, or at most {cores}")]
    return [Check("threads", "ok", f"{found}; workers use one thread each")]


def check_memory() -> list[Check]:
    """Check the free memory per core."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total = machine_memory() / 1024
    free = min(total, int(lines["MemAvailable"].split()[0]) / 2**20)
    cores = len(os.sched_getaffinity(0))
    found = f"{free:.1f} of {total:.1f} GiB free, {free / cores:.1f} GiB per core"
    if free < MEMORY * cores:
        return [Check("memory", "warning", found, "end other programs, or set ASTEROID_CORES lower")]
    return [Check("memory", "ok", found)]


def check_disk(store: str) -> list[Check]:
    """Check the free disk space of the store and of temporary files."""
    local = Store(store).local
    places = {"temporary files": Path(os.environ.get("TMPDIR", "/tmp"))}
    if local:
        places = {"store": _nearest(local), **places}
    checks = []
    for name, place in places.items():
        free = shutil.disk_usage(place).free / 1e9
        found = f"{free:.1f} GB free at {place}"
        if free < DISK:
            checks.append(Check(f"disk: {name}", "warning", found, "free some space, or write another path"))
        else:
            checks.append(Check(f"disk: {name}", "ok", found))
    return checks


def check_store(url: str) -> list[Check]:
    """Write a file to the store, read it back and remove it; a store that does not exist is not created."""
    store = Store(url)
    local = store.local
    where = store.location("").rstrip("/")
    if local and not local.exists():
        parent = _nearest(local)
        if parent.is_dir() and os.access(parent, os.W_OK):
            return [Check("store", "ok", f"{where} does not exist yet; {parent} is writable")]
        return [Check("store", "failed", f"{parent} is not a writable folder", "write another --store")]
    path, content = f"doctor-{uuid.uuid4().hex[:8]}.json", {"written by": "asteroid doctor"}
    try:
        store.write_json(path, content)
        same = store.read_json(path) == content
        store.remove(path)
    except (AsteroidError, OSError) as error:
        return [
            Check("store", "failed", " ".join(str(error).split())[:200], "write another --store, or repair this one")
        ]
    if not same:
        return [Check("store", "failed", f"{where} returns other content than was written", "do not use it")]
    return [Check("store", "ok", f"{where} can be written and read")]


def _nearest(path: Path) -> Path:
    """The path itself, or its nearest existing parent."""
    return next(place for place in (path, *path.parents) if place.exists())
