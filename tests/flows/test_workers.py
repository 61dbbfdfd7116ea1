"""The deployed pipeline on its own server, pools and workers, as ``make up`` starts them."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asteroid.store import Store
from tests.pipeline.conftest import WATER

ROOT = Path(__file__).resolve().parents[2]
LEVEL = "ccsd(t)/6-31g*"
PREFECT = str(Path(sys.executable).with_name("prefect"))


def free_ports() -> int:
    """A port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a fresh server with workers and of its clients, which are called in ``ASTEROID_FOLDER``."""
    tmp_path = tmp_path_factory.mktemp("server")
    port = free_ports()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment |= {"ASTEROID_PORT": str(port), "ASTEROID_STATE": str(tmp_path / "state")}
    local = [sys.executable, "-m", "infra.local"]
    subprocess.run([*local, "up"], cwd=ROOT, env=environment, check=True, timeout=240)
    try:
        yield environment | {
            "ASTEROID_FOLDER": str(tmp_path),
            "PREFECT_HOME": str(tmp_path / "client"),
        }
    finally:
        subprocess.run([*local, "down"], cwd=ROOT, env=environment, check=True, timeout=60)
        assert not processes_naming(str(tmp_path)), "make down leaves nothing running"


def processes_naming(text: str) -> dict[int, str]:
    """Living processes whose command line or environment names a text, but for this one."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
            living = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            continue
        if living and int(entry.name) != os.getpid() and (text in command or text in environment):
            found[int(entry.name)] = command
    return found


def ask(server: dict[str, str], path: str, auth: str | None, content: dict[str, Any] | None = None) -> Any:
    """Post to the API, as anybody on this machine can."""
    headers = {"Content-Type": "application/json"}
    if auth is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(auth.encode()).decode()}"
    url = f"http://127.0.0.1:{server['ASTEROID_PORT']}/api/{path}"
    with urllib.request.urlopen(
        urllib.request.Request(url, json.dumps(content or {}).encode(), headers), timeout=30
    ) as answer:
        return json.load(answer)


@pytest.mark.server
@pytest.mark.long
def test_the_api_answers_only_who_can_read_the_secret(server: dict[str, str]) -> None:
    secret = Path(server["ASTEROID_STATE"], "auth")
    settings = Path(server["ASTEROID_FOLDER"], "prefect.toml")
    assert [path.stat().st_mode & 0o777 for path in (secret, settings)] == [0o600, 0o600]
    for wrong in (None, "asteroid:guessed"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(server, "variables/filter", wrong)
        assert refused.value.code == 401
    assert ask(server, "variables/filter", secret.read_text().strip()) == []


@pytest.mark.server
@pytest.mark.long
def test_a_worker_that_dies_is_started_again_and_up_starts_a_supervisor_that_died(server: dict[str, str]) -> None:
    def pid(name: str) -> int:
        return int(Path(server["ASTEROID_STATE"], "pids", name).read_text().split()[-1])

    def wait_for_another(name: str, than: int) -> None:
        deadline = time.monotonic() + 30
        while pid(name) == than or not Path(f"/proc/{pid(name)}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    worker = pid("worker-gpu")
    os.kill(worker, signal.SIGKILL)
    wait_for_another("worker-gpu", worker)
    supervisor, worker, others = pid("supervisor"), pid("worker-gpu"), pid("server")
    for victim in (supervisor, worker):
        os.kill(victim, signal.SIGKILL)
    up = [sys.executable, "-m", "infra.local", "up"]
    said = subprocess.run(up, cwd=ROOT, env=server, check=True, timeout=240, capture_output=True, text=True).stdout
    assert "started: supervisor, worker-gpu" in said
    wait_for_another("worker-gpu", worker)
    assert pid("server") == others, "what runs is left alone"


@pytest.fixture(scope="module")
def finished(server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Store]:
    """Output and store of a pipeline of which a shard was killed."""
    folder = tmp_path_factory.mktemp("finished")
    manifest, store = folder / "manifest.yaml", Store(folder / "store")
    # Labels of a second or so each, so that the shard can be caught in the middle.
    manifest.write_text(WATER.format(store=folder / "store").replace("hf/sto-3g", "ccsd(t)/cc-pvdz"))
    run = [PREFECT, "deployment", "run", "asteroid/full-pipeline", "-p", f"manifest={manifest}", "--watch"]
    client = subprocess.Popen(run, cwd=server["ASTEROID_FOLDER"], env=server, stdout=subprocess.PIPE, text=True)
    try:
        victim = wait_for_shard(client, server, store)
        session = Path(server["ASTEROID_STATE"], "pids", "worker-accurate-cpu").read_text().split()
        assert str(os.getsid(victim)) in session, "make down ends it even if its worker was killed"
        os.kill(victim, signal.SIGKILL)
        output, _ = client.communicate(timeout=600)
    finally:
        client.kill()
    assert client.returncode == 0, output
    return output, store


@pytest.mark.server
@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_deployment_finishes_although_a_shard_is_killed(
    server: dict[str, str], finished: tuple[str, Store]
) -> None:
    output, store = finished
    assert re.search(r"water: ccsd\(t\)/cc-pvdz labels: 14 of 14", output), output
    auth = Path(server["ASTEROID_STATE"], "auth").read_text().strip()
    names = {run["name"] for run in ask(server, "flow_runs/filter", auth)}
    assert {"water: sampling", "water: gfn2-xtb labels", "water: training", "water: validation"} <= names
    found = {one["key"]: one for one in ask(server, "artifacts/filter", auth) if one["key"]}
    # One page of all molecules and one of this one, which renew themselves.
    assert set(found) == {"campaign", "molecule-water"}
    assert "| water | ccsd(t)/cc-pvdz | 0 |" in found["campaign"]["data"]
    assert "Under way: nothing." in found["campaign"]["data"]
    page = found["molecule-water"]
    assert re.match(r"water: (certified|NOT certified)", page["description"])
    assert "| ccsd(t)/cc-pvdz | 0 |" in page["data"]
    url = re.search(r"\[Open the report\]\((http\S+)\)", page["data"])
    assert url, page["data"][:500]
    with urllib.request.urlopen(url[1], timeout=30) as report:
        assert b"water" in report.read()
    for level in store.levels("water"):
        ids = store.attempts("water", level)["frame_id"].to_pylist()
        assert len(ids) == len(set(ids)) == len(store.selected("water", level))
    assert any(
        name.endswith("report.html") for r in store.names("reports/water") for name in store.names(f"reports/water/{r}")
    )


@pytest.mark.server
@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_browser_finds_the_molecule_and_from_there_its_report(
    server: dict[str, str], finished: tuple[str, Store]
) -> None:
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("chromium is not installed")
    auth = Path(server["ASTEROID_STATE"], "auth").read_text().strip()
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context()
        # What the UI keeps after it has asked for the string.
        context.add_init_script(f"localStorage.setItem('prefect-password', btoa({auth!r}))")
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"http://127.0.0.1:{server['ASTEROID_PORT']}/runs")
        for name in ("water: sampling", "water: ccsd(t)/cc-pvdz labels", "water: training", "water: validation"):
            page.get_by_role("link", name=name, exact=True).first.wait_for()
        page.goto(f"http://127.0.0.1:{server['ASTEROID_PORT']}/artifacts")
        page.get_by_text("molecule-water", exact=True).click()
        page.locator("a[href*='/artifacts/artifact/']").first.click()
        page.get_by_role("heading", name=re.compile("water: (certified|NOT certified)")).wait_for()
        page.get_by_role("heading", name="Accuracy").wait_for()
        assert page.locator("img[src^='data:image/png']").count() == 3
        with context.expect_page() as opened:
            page.get_by_role("link", name="Open the report").click(modifiers=["Control"])
        opened.value.get_by_role("heading", name=re.compile("water")).first.wait_for()
        browser.close()


@pytest.mark.server
@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_retried_parent_waits_for_the_runs_that_its_first_run_left(server: dict[str, str], manifest: Path) -> None:
    # Labels that take long enough for the parent to be killed and retried meanwhile.
    manifest.write_text(manifest.read_text().replace("hf/sto-3g", LEVEL).replace("smiles: O", "smiles: CO"))
    auth = Path(server["ASTEROID_STATE"], "auth").read_text().strip()

    def state_of(run: str) -> str:
        (found,) = ask(server, "flow_runs/filter", auth, {"flow_runs": {"id": {"any_": [run]}}})
        return str(found["state_type"])

    def wait_for(run: str, *states: str) -> None:
        deadline = time.monotonic() + 400
        while state_of(run) not in states:
            assert time.monotonic() < deadline, f"{state_of(run)} instead of {states}"
            time.sleep(1.0)

    run = [PREFECT, "deployment", "run", "asteroid/full-pipeline", "-p", f"manifest={manifest}"]
    subprocess.run(run, cwd=server["ASTEROID_FOLDER"], env=server, check=True, stdout=subprocess.DEVNULL)
    running = {"type": {"any_": ["RUNNING"]}}
    named = {"name": {"any_": [f"water: {LEVEL} labels"]}}
    deadline = time.monotonic() + 300
    while not (children := ask(server, "flow_runs/filter", auth, {"flow_runs": {**named, "state": running}})):
        assert time.monotonic() < deadline, "the accurate labels were not begun"
        time.sleep(0.5)
    (parent,) = (
        found["id"]
        for found in ask(server, "flow_runs/filter", auth, {"flow_runs": {"state": running}})
        if found["name"] == str(manifest)
    )
    for pid, command in processes_naming(f"PREFECT__FLOW_RUN_ID={parent}").items():
        if "prefect.engine" in command:
            os.kill(pid, signal.SIGKILL)
    wait_for(parent, "CRASHED")
    retry = [PREFECT, "flow-run", "retry", parent]
    subprocess.run(retry, cwd=server["ASTEROID_FOLDER"], env=server, check=True, stdout=subprocess.DEVNULL)
    wait_for(children[0]["id"], "COMPLETED")
    wait_for(parent, "CRASHED", "RUNNING")
    deadline = time.monotonic() + 300
    training = {"flow_runs": {"name": {"any_": ["water: training"]}}}
    before = len(ask(server, "flow_runs/filter", auth, training))
    while len(ask(server, "flow_runs/filter", auth, training)) == before:
        assert time.monotonic() < deadline, "the retried parent did not go on"
        time.sleep(0.5)
    every = ask(server, "flow_runs/filter", auth, {"flow_runs": named})
    assert [found["id"] for found in every] == [children[0]["id"]], "the same run, and no second one"
    cancel = [PREFECT, "flow-run", "cancel", parent]
    subprocess.run(cancel, cwd=server["ASTEROID_FOLDER"], env=server, check=True, stdout=subprocess.DEVNULL)
    wait_for(parent, "CANCELLED")


def wait_for_shard(client: "subprocess.Popen[str]", server: dict[str, str], store: Store) -> int:
    """The process of the flow run that labels at the accurate level, once it is at work."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert client.poll() is None, client.stdout.read() if client.stdout else ""
        levels = store.levels("water") if store.molecules() else []
        pending = [str(level) for level in levels if store.pending("water", level)]
        running = processes_naming(server["ASTEROID_STATE"])
        engines = {p for p, command in running.items() if "prefect.engine" in command}
        # Besides the parent's engine process there is the shard's, and it has started label workers.
        if len(levels) == 2 and pending == ["ccsd(t)/cc-pvdz"] and len(engines) == 2:
            workers = [p for p, command in running.items() if "spawn_main" in command]
            if shard := engines & {parent_of(p) for p in workers}:
                return shard.pop()
        time.sleep(0.1)
    raise AssertionError("no shard was seen at work")


def parent_of(pid: int) -> int:
    """0 when the process has ended."""
    try:
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
