"""Three pipelines on a Slurm cluster with pilots, while nodes, jobs and workers are lost: ``make slurm-test``.

``python -m pytest -s -m long tests/slurm`` prints every fault and a summary. ``ASTEROID_FAULTS`` is their number.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from asteroid.levels import LevelOfTheory
from asteroid.store import Store
from tests.flows.test_workers import free_ports
from tests.pipeline.conftest import WATER
from tests.slurm.cluster import cluster, missing, wait
from tests.slurm.faults import KINDS, Faults
from tests.slurm.processes import command_of, processes_with
from tests.slurm.same_results import compare
from tests.slurm.site import Site, site, site_environment

MOST_FAULTS = int(os.environ.get("ASTEROID_FAULTS") or 20)
PAUSE = 10.0
"""s between two faults, at least."""
LONGEST = 3000.0
"""s"""
MOST_RETRIES = 3
MOLECULES = {"water": "O", "hydrogen-fluoride": "F", "ammonia": "N"}
ACCURATE = "ccsd(t)/cc-pvdz"
"""A label takes about a second, so that pilots are met while labelling."""


def manifest(folder: Path) -> Path:
    """Three molecules that go through every step with little training."""
    text = WATER.format(store=folder / "store").replace("hf/sto-3g", ACCURATE)
    text = text.replace("budget: {accurate: 10, test: 4}", "budget: {accurate: 40, test: 10}")
    head = text.partition("molecules:")[0].replace("frames: 40", "frames: 120")
    entries = [f"  - {{name: {name}, smiles: {smiles}}}" for name, smiles in MOLECULES.items()]
    path = folder / "manifest.yaml"
    path.write_text("\n".join([f"{head}molecules:", *entries, ""]))
    return path


@pytest.mark.server
@pytest.mark.long
@pytest.mark.timeout(2 * LONGEST)
@pytest.mark.skipif(missing() is not None, reason=f"Slurm: {missing()}")
def test_no_label_is_lost_or_made_twice_by_faults_of_a_cluster(tmp_path: Path) -> None:
    mark = f"ASTEROID_SLURM_TEST={tmp_path}"
    environment = site_environment(tmp_path / "state", free_ports()) | dict([mark.split("=")])
    began = time.monotonic()
    with (
        cluster(tmp_path / "cluster", environment) as slurm,
        site(tmp_path, slurm) as server,
    ):
        faults = Faults(slurm, server, most=MOST_FAULTS, seed=1)
        retries = run_pipelines(server, manifest(tmp_path), faults)
        took = time.monotonic() - began
        faults.resume()
        wait(lambda: not slurm.jobs(), "idle pilots did not end", 240)
        summary = summarise(server, Store(tmp_path / "store"), faults)
        print(f"{summary}\nslurm-test: {took:.0f} s, with {retries} retries of the parent", flush=True)
    left = {pid: command_of(pid) for pid in processes_with(mark)}
    assert not left, "nothing is left running"
    check(Store(tmp_path / "store"))
    assert set(faults.done) == set(KINDS[:MOST_FAULTS])
    found = compare(Store(tmp_path / "store"), run_without_faults(tmp_path / "without"))
    print("\n".join(f"slurm-test: {line}" for line in [f"against a run without faults, {found}", *found.different]))
    assert not found.different


def run_without_faults(folder: Path) -> Store:
    """The store that ``asteroid run`` makes of the same manifest."""
    folder.mkdir()
    command = [str(Path(sys.executable).with_name("asteroid")), "run", str(manifest(folder))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    # 3: finished, but not certified: the models are hardly trained.
    assert ended.returncode in (0, 3), ended.stdout + ended.stderr
    return Store(folder / "store")


def run_pipelines(server: Site, path: Path, faults: Faults) -> int:
    """Run the deployment, with a fault whenever there is a victim, until it has completed; number of its retries.

    A step that lost three runs fails the parent, which is then retried as ``infra/README.md`` says.
    """
    server.prefect("deployment", "run", "asteroid/full-pipeline", "-p", f"manifest={path}")
    (parent,) = server.ask("flow_runs/filter", {"limit": 200})
    deadline, retries = time.monotonic() + LONGEST, 0
    while (state := server.ask(f"flow_runs/{parent['id']}")["state"])["type"] != "COMPLETED":
        assert time.monotonic() < deadline, f"the pipelines took longer than {LONGEST:.0f} s"
        if state["type"] in ("FAILED", "CRASHED"):
            print(f"slurm-test: {time.strftime('%T')} the parent is retried: {state['message']}", flush=True)
            assert retries < MOST_RETRIES
            server.prefect("flow-run", "retry", parent["id"])
            retries += 1
        time.sleep(PAUSE)
        faults.step()
    return retries


def count_labels(store: Store, molecule: str, level: LevelOfTheory) -> tuple[int, int, int]:
    """Number of selected frames, of those without a label, and of those with more than one."""
    attempts = store.attempts(molecule, level)
    ok = Counter(
        frame
        for frame, status in zip(attempts["frame_id"].to_pylist(), attempts["status"].to_pylist(), strict=True)
        if status == "ok"
    )
    selected = store.selected(molecule, level)
    return len(selected), sum(frame not in ok for frame in selected), sum(number > 1 for number in ok.values())


def check(store: Store) -> None:
    """Every selected frame has one label, and every molecule its certificate and report."""
    assert store.molecules() == sorted(MOLECULES)
    for molecule in MOLECULES:
        assert {str(level) for level in store.levels(molecule)} == {"gfn2-xtb", ACCURATE}
        for level in store.levels(molecule):
            selected, lost, doubled = count_labels(store, molecule, level)
            assert selected > 0
            assert (lost, doubled) == (0, 0), f"{molecule}, {level}"
        folders = [f"reports/{molecule}/{name}" for name in store.names(f"reports/{molecule}")]
        assert any(store.exists(f"{folder}/certificate.json") for folder in folders)
        assert any(store.exists(f"{folder}/report.html") for folder in folders)


def summarise(server: Site, store: Store, faults: Faults) -> str:
    """Faults by kind, flow runs by state, pilots, and labels."""
    counts = [
        count_labels(store, molecule, level) for molecule in store.molecules() for level in store.levels(molecule)
    ]
    frames, lost, doubled = (sum(column) for column in zip(*counts, strict=True))
    states = Counter(run["state_name"] for run in server.ask("flow_runs/filter", {"limit": 200}))
    pilots = len(list((server.folder / "pilots").glob("*.log")))
    kinds = ", ".join(f"{number} × {kind}" for kind, number in sorted(faults.done.items()))
    return (
        f"slurm-test: {faults.done.total()} faults of {len(faults.done)} kinds ({kinds}), "
        f"{faults.in_flight.total()} of them with a flow run in flight\n"
        f"slurm-test: flow runs: {', '.join(f'{number} {state}' for state, number in sorted(states.items()))}; "
        f"{pilots} pilots\n"
        f"slurm-test: {frames} labels of {len(store.molecules())} molecules: {lost} lost, {doubled} doubled"
    )
