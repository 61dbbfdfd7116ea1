"""Checks of the Prefect server, its work pools and its deployments.

``asteroid doctor`` finds :func:`check` through the entry point ``asteroid.doctor``. It uses HTTP, because importing
Prefect takes seconds.
"""

import json
import os
import urllib.request
from importlib.metadata import version
from typing import Any, get_args

from asteroid.doctor import Check
from asteroid.pipeline.steps import Resource

LOCAL = "http://127.0.0.1:4200/api"
POOLS = ("orchestrator", "cheap-cpu", "accurate-cpu", "gpu")
DEPLOYMENTS = ("asteroid/full-pipeline", *(f"step/{resource}" for resource in get_args(Resource)))
"""Deployments in ``prefect.yaml``, which :mod:`flows.pools` runs."""

TIMEOUT = 10.0
"""s"""


def check() -> list[Check]:
    """Check the server at ``PREFECT_API_URL``, or the local one if it runs."""
    api = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not api and not _answers(LOCAL):
        return [Check("Prefect", "ok", "no server; asteroid run needs none", "for a server with workers: make up")]
    return _server(api or LOCAL)


def _server(api: str) -> list[Check]:
    if not _answers(api):
        advice = "start it, or unset PREFECT_API_URL: asteroid run needs no server"
        return [Check("Prefect", "failed", f"{api} does not answer", advice)]
    theirs, ours = _get(f"{api}/admin/version"), version("prefect")
    checks = [Check("Prefect", "ok", f"{api} answers, version {theirs}")]
    if theirs != ours:
        found = f"{api} has version {theirs}, this environment {ours}"
        checks = [Check("Prefect", "warning", found, "install the same version on both")]
    pools = {pool["name"]: pool for pool in _get(f"{api}/work_pools/filter", {})}
    absent = [name for name in POOLS if name not in pools]
    idle = [name for name in POOLS if name in pools and pools[name]["status"] != "READY"]
    if absent:
        found, advice = f"no pool {', '.join(absent)}", "run: make up, or create them as infra/README.md says"
        checks.append(Check("work pools", "failed", found, advice))
    elif idle:
        checks.append(Check("work pools", "warning", f"no worker on {', '.join(idle)}", "start one: make up"))
    else:
        checks.append(Check("work pools", "ok", f"workers on {', '.join(POOLS)}"))
    there = {
        f"{str(deployment['entrypoint']).rpartition(':')[2]}/{deployment['name']}"
        for deployment in _get(f"{api}/deployments/filter", {})
    }
    missing = [name for name in DEPLOYMENTS if name not in there]
    if missing:
        advice = "run: prefect --no-prompt deploy --all"
        checks.append(Check("deployments", "failed", f"not deployed: {', '.join(missing)}", advice))
    else:
        checks.append(Check("deployments", "ok", f"all {len(DEPLOYMENTS)} are there"))
    return checks


def _answers(api: str) -> bool:
    try:
        return bool(_get(f"{api}/health"))
    except (OSError, ValueError):
        return False


def _get(url: str, filter: dict[str, Any] | None = None) -> Any:
    """JSON answer of the API to a GET request, or to a POST request with a filter."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None if filter is None else json.dumps(filter).encode()
    request = urllib.request.Request(url, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return json.load(answer)
