"""``prefect.yaml``, the compose file, the images and the pool templates agree with each other and with the code."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow

from asteroid import stages
from asteroid.manifest import MoleculeSettings
from asteroid.pipeline.steps import STEPS
from flows import doctor
from infra import local
from infra.audit import verdict
from infra.deploy import check_password, kubernetes_template, pool_names
from infra.images.test import MANIFEST
from infra.slurm.decisions import worker_name
from tests.image_packages import extras, modules

HOME = Path(__file__).resolve().parent.parent
DEPLOYMENTS = yaml.safe_load((HOME / "prefect.yaml").read_text())["deployments"]
COMPOSE = yaml.safe_load((HOME / "infra/compose.yaml").read_text())
DOCKERFILE = (HOME / "infra/images/Dockerfile").read_text()
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    path, _, name = deployment["entrypoint"].partition(":")
    assert (HOME / path).is_file()
    found = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(found, Flow)
    return found


def full_name(deployment: dict[str, Any]) -> str:
    return f"{flow_of(deployment).name}/{deployment['name']}"


def workers() -> dict[str, dict[str, Any]]:
    """Compose services that run a worker, by the pool they serve."""
    commands = {name: service.get("command", []) for name, service in COMPOSE["services"].items()}
    return {
        c[c.index("--pool") + 1]: COMPOSE["services"][name]
        for name, c in commands.items()
        if c[:2] == ["prefect", "worker"]
    }


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=full_name)
def test_every_deployment_names_a_flow_and_only_parameters_that_it_has(deployment: dict[str, Any]) -> None:
    accepted = inspect.signature(flow_of(deployment).fn).parameters
    assert set(deployment.get("parameters", {})) <= set(accepted)


def test_every_deployment_that_the_parent_submits_to_is_declared() -> None:
    water = MoleculeSettings(name="water", smiles="O")
    levels = [str(level) for level in (water.cheap, water.accurate)]
    submitted = {f"step/{step.resource_of(water, level=level)}" for step in STEPS.values() for level in levels}
    assert submitted | {"asteroid/full-pipeline"} == {full_name(d) for d in DEPLOYMENTS} == set(doctor.DEPLOYMENTS)
    assert {d["work_pool"]["name"] for d in DEPLOYMENTS} == set(doctor.POOLS)


def test_every_pool_has_a_worker_in_compose_and_in_make_up_and_a_kubernetes_size() -> None:
    assert set(workers()) == set(pool_names())
    assert {pool.name for pool in local.pools()} == set(pool_names())
    assert set(yaml.safe_load((HOME / "infra/pools/sizes.yaml").read_text())) == set(pool_names())


def test_published_ports_are_bound_to_this_host_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_every_worker_sees_the_store_and_answers_its_health_check() -> None:
    for pool, service in workers().items():
        assert "store:/opt/asteroid/store" in service["volumes"], pool
        assert "--with-healthcheck" in service["command"], pool


def test_no_secret_is_written_into_the_compose_file_or_its_example() -> None:
    example = (HOME / "infra/compose.env.example").read_text()
    secrets = re.findall(r"^(\w*(?:PASSWORD|AUTH)\w*)=(.*)$", example, re.MULTILINE)
    assert [name for name, _ in secrets] == ["POSTGRES_PASSWORD", "PREFECT_AUTH_STRING"]
    assert all(value == "" for _, value in secrets)
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|AUTH", name) or value.startswith("${"), name


def test_images_install_only_declared_extras_and_quantum_chemistry_never_meets_torch() -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE)) - {"base"}
    assert {service["build"]["target"] for service in workers().values()} == targets
    declared = PROJECT["optional-dependencies"]
    for target in targets:
        assert extras(target) <= set(declared)
        assert "flows" in extras(target), "every worker runs flows"
    for target in ("label", "orchestrator"):
        assert extras(target).isdisjoint({"all", "dev"})
        assert modules(target).isdisjoint({"torch", "mace", "torch_sim"})
    # What needs these are steps of the label pools. RDKit, which tells the bonds that turn, gets on with torch.
    assert extras("train").isdisjoint({"all", "dev"})
    assert modules("train").isdisjoint({"pyscf", "tblite", "xtb"})


@pytest.mark.parametrize("target", ["label", "orchestrator", "train"])
def test_every_image_has_what_starts_worker_processes(target: str) -> None:
    """All kinds of worker go through :mod:`asteroid.processes`, which needs pebble."""
    installed = [*PROJECT["dependencies"], *(r for e in extras(target) for r in PROJECT["optional-dependencies"][e])]
    assert any(requirement.startswith("pebble") for requirement in installed)


def test_images_are_built_from_an_allow_list_that_holds_what_they_copy() -> None:
    lines = [line for line in (HOME / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert all(list(HOME.glob(pattern)) for pattern in allowed)
    assert {"asteroid", "flows", "infra/*.py", "infra/pools", "manifests", "prefect.yaml", "pyproject.toml"} <= allowed


def test_the_manifest_that_is_run_in_images_is_valid_and_has_a_pipeline_with_rounds_and_one_without(
    tmp_path: Path,
) -> None:
    (tmp_path / "images.yaml").write_text(MANIFEST)
    molecules = stages.load_checked(tmp_path / "images.yaml").molecules
    assert [molecule.acquisition is None for molecule in molecules] == [True, False]


@pytest.mark.parametrize("pool", pool_names())
def test_kubernetes_template_defines_every_variable_that_it_uses(pool: str) -> None:
    template = kubernetes_template(pool)
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_kubernetes_pods_of_a_pool_run_its_own_image() -> None:
    images = {pool: kubernetes_template(pool)["variables"]["properties"]["image"]["default"] for pool in pool_names()}
    for pool, service in workers().items():
        assert images[pool].removesuffix("-cuda") == service["image"]


def test_kubernetes_pods_ask_for_a_gpu_on_the_gpu_pool_alone() -> None:
    # A variable without a default is left out of the pod.
    asks = {pool for pool in pool_names() if "default" in kubernetes_template(pool)["variables"]["properties"]["gpus"]}
    assert asks == {"gpu"}


def test_slurm_script_is_valid_bash_and_says_what_is_missing() -> None:
    script = HOME / "infra/slurm/worker.sbatch"
    result = subprocess.run(["bash", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert result.returncode != 0
    assert "ASTEROID_HOME: the folder of asteroid" in result.stderr


def test_slurm_workers_have_the_names_that_the_autoscaler_looks_for() -> None:
    name = worker_name("17").replace(str(os.getuid()), "$UID").replace("17", "$SLURM_JOB_ID")
    assert f"name={name}\n" in (HOME / "infra/slurm/worker.sbatch").read_text()


def test_lost_run_automation_waits_longer_than_three_heartbeats() -> None:
    from infra.lost_runs import SILENCE

    for deployment in DEPLOYMENTS:
        heartbeat = int(deployment["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
        assert SILENCE.total_seconds() >= 3 * heartbeat


def test_deploy_command_explains_itself() -> None:
    result = subprocess.run([sys.executable, "-m", "infra.deploy", "--help"], cwd=HOME, capture_output=True, text=True)
    assert result.returncode == 0
    assert all(kind in result.stdout for kind in ("process", "slurm", "kubernetes"))


@pytest.mark.parametrize(
    "url", [None, "http://127.0.0.1:4200/api", "http://localhost:4200/api", "http://[::1]:4200/api"]
)
def test_a_server_on_this_machine_may_be_used_without_a_password(url: str | None) -> None:
    check_password(url, secret=False)


def test_a_server_on_another_machine_without_a_password_is_refused() -> None:
    check_password("http://head-node:4200/api", secret=True)
    for url in ("http://head-node:4200/api", "https://127.example.org/api", "http://10.0.0.1/api"):
        with pytest.raises(SystemExit, match="set PREFECT_API_AUTH_STRING"):
            check_password(url, secret=False)


def test_an_audit_that_nothing_answered_is_no_audit_and_an_advisory_fails_it() -> None:
    skipped = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}
    advisory = {"id": "PYSEC-2026-1", "fix_versions": ["2.0"], "aliases": [], "description": ""}
    good, bad = ({"name": name, "version": "1.0", "vulns": vulns} for name, vulns in (("a", []), ("b", [advisory])))
    assert verdict({"dependencies": [skipped]}) == (
        "no advisory database answers here: the versions in constraints.txt were not audited",
        0,
    )
    assert verdict({"dependencies": [skipped, good]}) == ("1 of 2 versions in constraints.txt audited, 0 advisories", 0)
    text, code = verdict({"dependencies": [good, bad]})
    assert code == 1
    assert text.splitlines()[0] == "b 1.0: PYSEC-2026-1, fixed in 2.0"
