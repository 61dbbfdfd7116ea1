"""Everything that is given to Kubernetes, against the API's own schema and against the rules for its pods."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prefect.utilities.templating import apply_values

from infra.deploy import kubernetes_template, pool_names
from infra.images.test import COMPOSE, WRITABLE, compose_environment

HOME = Path(__file__).resolve().parent.parent
FOLDER = HOME / "infra/kubernetes"
VERSION = "1.37"
"""Of the Kubernetes API."""
Resource = dict[str, Any]


def kustomization() -> Resource:
    return dict(yaml.safe_load((FOLDER / "kustomization.yaml").read_text()))


def applied() -> list[Resource]:
    """Resources that ``kubectl apply -k infra/kubernetes`` creates, without the kustomization's names of images."""
    documents = (yaml.safe_load((FOLDER / name).read_text()) for name in kustomization()["resources"])
    return [item for document in documents for item in document.get("items", [document])]


def job(pool: str) -> Resource:
    """The Job of a flow run of a Kubernetes pool, as Prefect's worker fills in the pool's template."""
    template = kubernetes_template(pool)
    known = {
        name: entry["default"] for name, entry in template["variables"]["properties"].items() if "default" in entry
    }
    known |= {"name": "water-training", "command": ["prefect", "flow-run", "execute"], "labels": {}, "annotations": {}}
    return dict(apply_values(template["job_configuration"]["job_manifest"], known))


RESOURCES = [*applied(), *map(job, pool_names())]


def names(resources: list[Resource]) -> list[str]:
    return [f"{one['kind']}-{one['metadata'].get('name') or one['metadata']['generateName']}" for one in resources]


def find(kind: str) -> dict[str, Resource]:
    return {one["metadata"]["name"]: one for one in applied() if one["kind"] == kind}


def pods() -> list[Resource]:
    """Specifications of all pods."""
    return [one["spec"]["template"]["spec"] for one in RESOURCES if "template" in one.get("spec", {})]


def containers() -> Iterator[tuple[Resource, Resource]]:
    """Every container with its pod."""
    for pod in pods():
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            yield pod, container


@pytest.mark.parametrize("resource", RESOURCES, ids=names(RESOURCES))
def test_every_resource_is_valid_by_the_schema_of_the_api(resource: Resource) -> None:
    kubernetes_validate.validate(resource, VERSION, strict=True)


def test_a_wrong_field_a_wrong_type_and_a_missing_field_are_found() -> None:
    good = find("Deployment")["gpu"]

    def refused(change: Any) -> str:
        wrong = copy.deepcopy(good)
        change(wrong["spec"]["template"]["spec"]["containers"][0])
        with pytest.raises(kubernetes_validate.ValidationError) as error:
            kubernetes_validate.validate(wrong, VERSION, strict=True)
        return str(error.value.message)

    assert "'readOnlyRootFileSystem' was unexpected" in refused(
        lambda container: container["securityContext"].update(readOnlyRootFileSystem=True)
    )
    assert "'4200'" in refused(lambda container: container["ports"].append({"containerPort": "4200"}))
    assert "'name' is a required property" in refused(lambda container: container.pop("name"))


def test_pods_are_confined() -> None:
    assert len(pods()) == 1 + 1 + 2 * len(pool_names()), "Postgres, the server, and each pool's worker and flow run"
    for pod in pods():
        assert pod["automountServiceAccountToken"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == security["runAsGroup"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for pod, container in containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["name"] for mount in container["volumeMounts"]} <= {
            volume["name"] for volume in pod["volumes"]
        } | {"database"}
        if container["image"].startswith("asteroid-"):
            assert set(WRITABLE) <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_every_container_has_requests_and_limits_and_every_service_three_probes() -> None:
    for _, container in containers():
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][kind])
    for kind in ("Deployment", "StatefulSet"):
        for name, resource in find(kind).items():
            (container,) = resource["spec"]["template"]["spec"]["containers"]
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), name


def test_workers_and_server_run_the_commands_and_images_of_the_compose_file() -> None:
    for name, deployment in find("Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        service = COMPOSE["services"][name]
        assert container["command"] == service["command"]
        assert container["image"].removesuffix("-cuda") == service["image"]
    assert set(find("Deployment")) == {"server", *pool_names()}
    (deploy,) = find("Deployment")["orchestrator"]["spec"]["template"]["spec"]["initContainers"]
    assert deploy["command"] == COMPOSE["services"]["deploy"]["command"]


def test_they_have_the_environment_of_the_compose_file_and_take_secrets_from_secrets() -> None:
    shared = find("ConfigMap")["worker"]["data"]
    # Set by the images, of this host alone, set by each pod, or chosen for many workers.
    ours = {
        "DO_NOT_TRACK",
        "ASTEROID_REPORTS",
        "ASTEROID_REPORTS_URL",
        "ASTEROID_CORES",
        "PREFECT_WORKER_QUERY_SECONDS",
    }
    for name, deployment in find("Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        plain = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
        secret = {
            entry["name"]: entry["valueFrom"]["secretKeyRef"]["key"]
            for entry in container["env"]
            if "secretKeyRef" in entry.get("valueFrom", {})
        }
        if name != "server":
            plain |= shared
        wanted = compose_environment(name, {key: f"$({key})" for key in ("POSTGRES_PASSWORD", "PREFECT_AUTH_STRING")})
        for key in wanted.keys() - ours:
            if wanted[key] == "$(PREFECT_AUTH_STRING)":
                assert secret[key] == "PREFECT_AUTH_STRING"
            else:
                assert plain[key] == wanted[key], key
        assert not any(re.search("PASSWORD|AUTH|KEY", key) for key in plain)
    example = (HOME / "infra/compose.env.example").read_text()
    for _, container in containers():
        for entry in container.get("env", []):
            if reference := entry.get("valueFrom", {}).get("secretKeyRef"):
                assert reference["name"] == "asteroid"
                assert re.search(rf"^{reference['key']}=$", example, re.MULTILINE), "made from compose.env"


def test_every_pod_is_reached_and_reaches_others_only_by_a_policy_of_its_own() -> None:
    policies = find("NetworkPolicy")
    assert policies["nobody"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    apps = {
        one["spec"]["template"]["metadata"]["labels"]["app"] for one in RESOURCES if "template" in one.get("spec", {})
    }
    chosen = [policy["spec"]["podSelector"].get("matchLabels", {}).get("app") for policy in policies.values()]
    assert set(chosen) - {None} == apps == {"postgres", "server", "worker"}
    ports = {name: service["spec"]["ports"][0]["port"] for name, service in find("Service").items()}
    for app, port in ports.items():
        (ingress,) = next(p["spec"]["ingress"] for p in policies.values() if p["metadata"]["name"] == app)
        assert [entry["port"] for entry in ingress["ports"]] == [port]
        assert all(entry["podSelector"]["matchLabels"]["app"] in apps for entry in ingress["from"])


def test_the_kustomization_names_every_image_of_ours_and_every_file() -> None:
    ours = {container["image"] for _, container in containers() if container["image"].startswith("asteroid-")}
    assert {image["name"] for image in kustomization()["images"]} == ours
    assert {*kustomization()["resources"], "kustomization.yaml"} == {path.name for path in FOLDER.iterdir()}
    assert all(one["metadata"].get("namespace", "asteroid") == "asteroid" for one in applied())
