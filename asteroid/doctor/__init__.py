"""Live checks of whether this machine can run asteroid, each with its finding and advice.

:func:`examine` runs them all in under half a minute. An error in a check becomes its finding; missing packages of other
extras are skipped. The check of Prefect is in :mod:`flows.doctor`, found by the entry point ``asteroid.doctor``.
"""

import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from importlib.metadata import entry_points

from asteroid.doctor.check import Check, skipped
from asteroid.doctor.labels import check_engines, check_workers
from asteroid.doctor.machine import check_disk, check_memory, check_store, check_threads, check_versions
from asteroid.doctor.weights import check_training

__all__ = ["Check", "examine"]

Checks = Callable[[], list[Check]]


def examine(store: str) -> Iterator[Check]:
    """Run all checks, two at a time, and yield each as it finishes.

    Args:
        store: folder or URL that should be writable.
    """
    groups: dict[str, Checks] = {
        "versions": check_versions,
        "threads": check_threads,
        "memory": check_memory,
        "disk": partial(check_disk, store),
        "store": partial(check_store, store),
        "training": check_training,
        "Prefect": check_prefect,
        "label workers": check_workers,
        "labels": check_engines,
    }
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(_guarded, name, checks) for name, checks in groups.items()]
        for done in as_completed(running):
            yield from done.result()


def check_prefect() -> list[Check]:
    """Check the Prefect server and its deployments."""
    if importlib.util.find_spec("prefect") is None:
        return [skipped("Prefect", "prefect", "flows")]
    found = list(entry_points(group="asteroid.doctor"))
    if not found:
        return [Check("Prefect", "failed", "asteroid was installed without its flows", "run: pip install -e '.[all]'")]
    return [check for entry in found for check in entry.load()()]


def _guarded(name: str, checks: Checks) -> list[Check]:
    try:
        return checks()
    # A check that fails to run is a finding, too.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        return [Check(name, "failed", f"the check itself failed: {type(error).__name__}: {reason}", "report this")]
