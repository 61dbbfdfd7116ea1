"""Work pools, deployments and the automations for lost runs, on the server at ``PREFECT_API_URL``.

``python -m infra.deploy process`` creates process pools, whose workers run flows on their own machine. ``slurm`` does
the same for workers in Slurm jobs, and checks ``infra/slurm/pools.yaml``. ``kubernetes`` creates Kubernetes pools from
the templates in ``infra/pools/``. The pools are those of ``prefect.yaml``. A second call updates everything.
"""

import argparse
import copy
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from prefect.settings import get_current_settings

from asteroid.errors import AsteroidError

HOME = Path(__file__).resolve().parent.parent
POOLS = Path(__file__).resolve().parent / "pools"


def pool_names() -> list[str]:
    """Names of the work pools in ``prefect.yaml``."""
    content = yaml.safe_load((HOME / "prefect.yaml").read_text())
    return sorted({deployment["work_pool"]["name"] for deployment in content["deployments"]})


def pilot_pools() -> list[str]:
    """Work pools whose workers may run in Slurm jobs: all but the parent's, which must outlive a walltime."""
    return [name for name in pool_names() if name != "orchestrator"]


def kubernetes_template(pool: str) -> dict[str, Any]:
    """Base job template of a Kubernetes pool: the common one with this pool's image and resources as defaults.

    Raises:
        SystemExit: when ``sizes.yaml`` lacks the pool, or names a variable that the template does not have.
    """
    template: dict[str, Any] = json.loads((POOLS / "kubernetes.json").read_text())
    sizes = yaml.safe_load((POOLS / "sizes.yaml").read_text())
    if pool not in sizes:
        sys.exit(f"infra/pools/sizes.yaml: no entry for the pool '{pool}' of prefect.yaml; add one")
    variables = copy.deepcopy(template["variables"]["properties"])
    for name, value in sizes[pool].items():
        if name not in variables:
            sys.exit(f"infra/pools/sizes.yaml: {pool}: unknown variable '{name}'; write one of: {', '.join(variables)}")
        variables[name]["default"] = value
    template["variables"]["properties"] = variables
    return template


def process_template() -> dict[str, Any]:
    """Base job template of a process pool: Prefect's own, with the command that runs a flow run.

    Without it, another process loads Prefect first, to prepare a folder that is already there: two CPU seconds. It
    also leaves the worker's session, so that ``make down`` would miss the flow runs of a killed worker. Like
    ``ASTEROID_HOME``, the interpreter's path must be the same on the workers.
    """
    # Takes a second to import.
    from prefect.workers.process import ProcessWorker

    template = copy.deepcopy(ProcessWorker.get_default_base_job_template())
    template["variables"]["properties"]["command"]["default"] = shlex.join([sys.executable, "-m", "prefect.engine"])
    return template


def check_password(url: str | None, secret: bool) -> None:
    """Refuse a server on another machine that is used without a password: whoever reaches it runs code on the workers.

    Args:
        url: of the API; None for a server that Prefect starts by itself, on this machine.
        secret: whether this client sends one.

    Raises:
        SystemExit: with what to write.
    """
    if secret or urlsplit(url or "").hostname in (None, "localhost", "127.0.0.1", "::1"):
        return
    sys.exit(
        f"the server at {url} is used without a password, and whoever reaches it runs code on your workers; start it "
        "with PREFECT_SERVER_API_AUTH_STRING=user:password and set PREFECT_API_AUTH_STRING to the same here and on the "
        "workers"
    )


def create_pool(name: str, kind: str) -> None:
    """Create or update a work pool."""
    template = kubernetes_template(name) if kind == "kubernetes" else process_template()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(template, file)
        file.flush()
        _prefect(*("work-pool", "create", name, "--type", kind, "--overwrite", "--base-job-template", file.name))


def _prefect(*arguments: str) -> None:
    _run(str(Path(sys.executable).with_name("prefect")), "--no-prompt", *arguments)


def _run(*command: str) -> None:
    # ASTEROID_HOME is resolved when deploying: the folder of the code on the workers.
    result = subprocess.run(command, cwd=HOME, env={"ASTEROID_HOME": str(HOME), **os.environ})
    if result.returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {result.returncode}")


def main() -> None:
    """Create the pools, the deployments and the automations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("process", "slurm", "kubernetes"))
    kind = parser.parse_args().kind
    if kind == "slurm":
        check_pilots()
    settings = get_current_settings()
    check_password(settings.api.url, bool(settings.api.auth_string or settings.api.key))
    for name in pool_names():
        create_pool(name, "process" if kind == "slurm" else kind)
    _prefect("deploy", "--all")
    _run(sys.executable, "-m", "infra.lost_runs", kind)


def check_pilots() -> None:
    """Read ``infra/slurm/pools.yaml`` before anything is created, and name the pools without pilots.

    Raises:
        SystemExit: with one line for each problem of the file.
    """
    # Not at the top: images have no Slurm, and not this folder.
    from infra.slurm.pools import FILE, read_pools

    try:
        pilots = read_pools(FILE, pilot_pools())
    except AsteroidError as error:
        sys.exit(str(error))
    for name in pilot_pools():
        if name not in pilots:
            print(f"{FILE.relative_to(HOME)}: no entry for {name}: start its workers yourself")


if __name__ == "__main__":
    main()
