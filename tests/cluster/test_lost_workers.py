"""The services of ``infra/compose.yaml`` with Postgres and an object store, while workers are lost in a pipeline with
rounds: ``make cluster-test``.

``python -m pytest -s -m long tests/cluster`` prints what is lost and a summary.
"""

import base64
import io
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from asteroid import stages
from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from infra.images.test import free_ports
from tests.cluster.object_store import BUCKET, object_store, objects
from tests.cluster.postgres import missing, postgres
from tests.cluster.services import WORKERS, Services, pool_of, services
from tests.slurm.processes import command_of
from tests.slurm.test_faults import count_labels

LONGEST = 2400.0
"""s"""
URL = f"s3://{BUCKET}/store"
LABELLERS = ("accurate-cpu.1", "accurate-cpu.2")
ACCURATE = LevelOfTheory.parse("ccsd(t)/cc-pvtz")
"""A label of water takes four seconds, so that a worker is met with some of its labels stored and others missing."""

MANIFEST = f"""
store: {URL}
defaults:
  cheap: gfn2-xtb
  accurate: {ACCURATE}
  sampling: {{frames: 40, temperatures: [300], interval: 5, equilibration: 20}}
  budget: {{accurate: 14, test: 5}}
  acquisition:
    {{initial: 10, batch: 4, rounds: 2, least_gain: 0, committee: 2, temperatures: [300], ps: 0.01, replicas: 5}}
  training:
    strategy: unweighted
    model: {{channels: 4, max_l: 0, correlation: 1, interactions: 1}}
    pretrain_steps: 20
    finetune_steps: 20
    evaluate_every: 10
  validation: {{temperatures: [300], nve_ps: 0.02, nvt_ps: 0.02, curve: false}}
molecules:
  - {{name: water, smiles: O}}
  - {{name: hydrogen-fluoride, smiles: F}}
"""


@pytest.mark.server
@pytest.mark.long
@pytest.mark.timeout(2 * LONGEST)
@pytest.mark.skipif(missing() is not None, reason=f"Postgres: {missing()}")
def test_no_label_is_lost_or_made_twice_and_no_secret_is_stored_when_workers_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth, password = f"asteroid:{secrets.token_hex(16)}", secrets.token_hex(16)
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(MANIFEST)
    logs = tmp_path / "services"
    logs.mkdir()
    ports = free_ports(2)
    began = time.monotonic()
    with postgres(ports[0], password) as database, object_store(ports[1]) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        hidden = (auth, password, *(value for name, value in variables.items() if "KEY" in name))
        with services(logs, auth, database, variables) as made:
            store = Store(URL)
            lost = run_pipelines(made, manifest, store, hidden)
            runs = made.ask("flow_runs/filter", {"limit": 200})
            states = Counter(run["state_name"] for run in runs)
            print(f"cluster-test: flow runs: {', '.join(f'{number} {state}' for state, number in states.items())}")
        left = {pid: command_of(pid) for name in ("server", *WORKERS) for pid in made.processes(name)}
        assert not left, "nothing is left running"
        assert {run["id"]: run["state_type"] for run in runs if run["id"] in lost} == dict.fromkeys(lost, "CRASHED")
        check(store, manifest)
        check_secrets(hidden, database.dump(), logs)
    print(f"cluster-test: {time.monotonic() - began:.0f} s")


def run_pipelines(made: Services, manifest: Path, store: Store, hidden: tuple[str, ...]) -> set[str]:
    """Run the deployment and lose a worker that labels and the one that trains; ids of all flow runs that are lost.

    The first is not started again, as another worker of its pool goes on; the second is, as Compose does. A further
    flow run is lost between its start and its first heartbeat.
    """
    made.prefect("deployment", "run", "asteroid/full-pipeline", "-p", f"manifest={manifest}")
    (parent,) = made.ask("flow_runs/filter", {"limit": 200})
    lost: dict[str, str] = {"start": lose_at_start(made)}
    deadline = time.monotonic() + LONGEST

    def lose(worker: str, run: dict[str, Any]) -> None:
        made.lose(worker)
        lost[pool_of(worker)] = run["id"]
        print(f"cluster-test: {time.strftime('%T')} {worker} is lost with {run['name']}", flush=True)

    while (state := made.ask(f"flow_runs/{parent['id']}")["state"])["type"] != "COMPLETED":
        assert state["type"] in ("SCHEDULED", "PENDING", "RUNNING"), state["message"]
        assert time.monotonic() < deadline, f"the pipelines took longer than {LONGEST:.0f} s"
        for worker in WORKERS:
            commands = " ".join(command_of(pid) for pid in made.processes(worker))
            assert not any(secret in commands for secret in hidden), "a command line shows a secret to everybody"
        if "accurate-cpu" not in lost:
            for worker in LABELLERS:
                run = made.flow_run(worker)
                if run and run["name"] == f"water: {ACCURATE} labels" and is_half_done(store, "water"):
                    lose(worker, run)
                    break
        run = made.flow_run("gpu")
        if "gpu" not in lost and run and run["name"].endswith(": training"):
            lose("gpu", run)
            made.start_service("gpu", "gpu")
        time.sleep(1)
    assert set(lost) == {"start", "accurate-cpu", "gpu"}
    return set(lost.values())


def lose_at_start(made: Services) -> str:
    """Id of a flow run that is Running without a process."""
    deployment = made.ask("deployments/name/asteroid/full-pipeline")["id"]
    never = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}
    run = made.ask(f"deployments/{deployment}/create_flow_run", {"state": never})
    made.ask(f"flow_runs/{run['id']}/set_state", {"state": {"type": "RUNNING"}, "force": True})
    return str(run["id"])


def is_half_done(store: Store, molecule: str) -> bool:
    """Whether some accurate labels are stored and others are not."""
    selected, unlabelled, _ = count_labels(store, molecule, ACCURATE)
    return 0 < unlabelled < selected


def check(store: Store, manifest: Path) -> None:
    """Every selected frame has one label, and every molecule its rounds, certificate and report."""
    for molecule in stages.load_checked(manifest).molecules:
        for level in store.levels(molecule.name):
            selected, unlabelled, doubled = count_labels(store, molecule.name, level)
            print(f"cluster-test: {molecule.name}, {level}: {selected} labels, {unlabelled} lost, {doubled} doubled")
            assert selected > 0
            assert (unlabelled, doubled) == (0, 0), f"{molecule.name}, {level}"
        rounds = [found[molecule.name] for found in stages.read_rounds(store, molecule)]
        assert [found.accurate_labels for found in rounds] == [10, 14]
        folders = [f"reports/{molecule.name}/{name}" for name in store.names(f"reports/{molecule.name}")]
        assert any(store.exists(f"{folder}/certificate.json") for folder in folders)
        assert any(store.exists(f"{folder}/report.html") for folder in folders)


def check_secrets(hidden: tuple[str, ...], dump: str, logs: Path) -> None:
    """No secret is in the database (parameters of flow runs, logs, events), in a file of a service, or in the store."""
    # A flow run's parameters are seen in the dump, the workers' own lines in the logs, and labels in the store.
    seen = Counter[str]()
    encoded = [base64.b64encode(secret.encode()).decode() for secret in hidden]
    for where, text in everything(dump, logs):
        seen += Counter(known for known in (URL, "Worker", "frame_id") if known in text)
        for secret in (*hidden, *(secret.partition(":")[2] for secret in hidden if ":" in secret), *encoded):
            assert secret not in text, f"{where} contains a secret"
    assert set(seen) == {URL, "Worker", "frame_id"}


def everything(dump: str, logs: Path) -> Iterator[tuple[str, str]]:
    """Name and text of all that stays."""
    yield "the database", dump
    for path in logs.rglob("*"):
        if path.is_file():
            yield str(path), path.read_text(errors="replace")
    for path, data in objects():
        yield path, data.decode(errors="replace")
        if path.endswith(".parquet"):
            # Columns are compressed.
            yield path, str(pq.read_table(io.BytesIO(data)).to_pydict())
