"""``make images-test``: build the three images, and run pipelines by workers inside them. Takes half an hour.

No registry of images and no container runtime are needed: buildah builds from Debian's packages and runs commands in a
chroot, as root. That proves the images' packages, files, users and commands, and that every step finds what it needs in
the image of its pool; limits, networks and restarts of a real runtime are not part of it. Containers are those of
``infra/compose.yaml`` (image, command, environment, volumes), all on 127.0.0.1, with SQLite in place of Postgres. Their
roots are read-only, as in the pods of ``infra/kubernetes``.

``ASTEROID_IMAGE_BASE`` names another base image, such as ``python:3.11-slim-bookworm`` where a registry can be reached.
Settings of pip on this machine are used while packages are installed and do not become part of an image.
"""

import argparse
import ast
import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from asteroid.pipeline.steps import STEPS

HOME = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((HOME / "infra/compose.yaml").read_text())
BASE = "localhost/asteroid-base"
TARGETS = ("label", "train", "orchestrator")
CHROOT = ["--isolation", "chroot", "--network", "host"]
START_SECONDS = 300.0
WRITABLE = ("/tmp", "/home/asteroid")
"""What a service may write to besides its volumes, empty when it starts; Kubernetes gives it to a pod."""

MANIFEST = """
store: ./store
defaults:
  cheap: gfn2-xtb
  accurate: hf/6-31g*
  sampling: {frames: 120, temperatures: [300], conformers: 2}
  budget: {accurate: 15, test: 5}
  training:
    model: {channels: 8, max_l: 1, correlation: 2, interactions: 1}
    pretrain_steps: 300
    finetune_steps: 100
    correction_steps: 100
  validation: {temperatures: [300], nve_ps: 0.02, nvt_ps: 0.02, replicas: 2, curve: false, frequencies: true}
molecules:
  - name: peroxide
    smiles: OO
  - name: peroxide-in-rounds
    smiles: OO
    acquisition: {initial: 10, batch: 5, rounds: 2, committee: 2, ps: 0.05, replicas: 2, temperatures: [300]}
"""
"""The default pipeline and one with rounds, of a molecule with a bond that turns and at a level with analytic Hessians:
together they go through every step."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="run the images that are there instead of building them")
    arguments = parser.parse_args()
    absent = [tool for tool in ("buildah", "podman", "debootstrap") if shutil.which(tool) is None]
    if os.geteuid() != 0 or absent:
        reason = f"without {', '.join(absent)}" if absent else "as another user than root"
        print(f"images-test: skipped {reason} (Debian: apt-get install buildah podman crun debootstrap)")
        return
    if not arguments.keep:
        build()
    check_packages()
    run_pipelines()


def build() -> None:
    """All three targets of the Dockerfile."""
    base = os.environ.get("ASTEROID_IMAGE_BASE") or debian_base()
    with tempfile.TemporaryDirectory() as folder:
        settings, paths = pip_settings()
        pip_conf = Path(folder) / "pip.conf"
        pip_conf.write_text(settings)
        options = ["--secret", f"id=pip.conf,src={pip_conf}", "--build-arg", f"BASE={base}"]
        options += [word for path in paths for word in ("--volume", f"{path}:{path}:ro")]
        if "find-links" in settings:
            # Wheels that are provided locally decide which build of torch is installed, as in the Makefile.
            options += ["--build-arg", "TORCH_INDEX="]
        for target in TARGETS:
            print(f"images-test: building asteroid-{target} …", flush=True)
            began = time.monotonic()
            file = ["-f", str(HOME / "infra/images/Dockerfile"), "--target", target, "-t", image(target), str(HOME)]
            # Only Docker's format knows health checks.
            _run("buildah", "bud", "--format", "docker", "--layers", *CHROOT, *options, *file)
            print(f"images-test: built in {time.monotonic() - began:.0f} s", flush=True)
    print(_run("buildah", "images", "--format", "table {{.Name}} {{.Size}}"))


def debian_base() -> str:
    """Debian's Python 3.11 and nothing else, from the mirror that apt uses; made once."""
    if BASE in _run("buildah", "images", "--format", "{{.Name}}").split():
        return BASE
    print("images-test: making a base image from Debian's packages …", flush=True)
    sites = _run("apt-get", "indextargets", "--format", "$(SITE)").split()
    mirror = next((site for site in sites if site.rstrip("/").endswith("/debian")), "http://deb.debian.org/debian")
    with tempfile.TemporaryDirectory() as folder:
        packages = "python3,python3-venv,ca-certificates"
        _run("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", f"{folder}/root", mirror)
        _run("tar", "-C", f"{folder}/root", "-cf", f"{folder}/root.tar", ".")
        _run("podman", "import", f"{folder}/root.tar", BASE)
    return BASE


def pip_settings() -> tuple[str, list[str]]:
    """This machine's settings of pip as a pip.conf, and the files and folders that they name."""
    lines, paths = ["[global]"], set()
    for line in _run(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        text = str(ast.literal_eval(value))
        lines.append(f"{name.rpartition('.')[2]} = " + " ".join(text.split()))
        words = (word.removeprefix("file://") for word in text.split())
        for word in words:
            # An index is a folder of links into its neighbours.
            path = Path(word).parent if word.rstrip("/").endswith("/simple") else Path(word)
            if word.startswith("/") and path.exists():
                paths.add(str(path))
    return "\n".join([*dict.fromkeys(lines), ""]), sorted(paths)


def check_packages() -> None:
    """No torch beside quantum chemistry, an ordinary user, a read-only root, and nothing of this machine's pip."""
    absent = {"label": "torch mace", "orchestrator": "torch mace", "train": "pyscf tblite xtb"}
    for target in TARGETS:
        code = f"""
import importlib.util, os, pathlib
found = [m for m in {absent[target].split()!r} if importlib.util.find_spec(m)]
assert not found, f"{{found}} must not be in this image"
assert os.getuid() == 1000 == pathlib.Path("store").stat().st_uid, "the user is not asteroid"
assert not any(os.access(folder, os.W_OK) for folder in ("/", "/var/tmp", "/opt/asteroid")), "the root is not read-only"
assert not pathlib.Path("/etc/pip.conf").exists(), "settings of the machine that built it are in the image"
"""
        with container(target) as name:
            _run("buildah", "run", *CHROOT, name, "--", "python", "-c", code)
        without = absent[target].replace(" ", ", no ")
        print(f"images-test: asteroid-{target} has no {without}, runs as user 1000, and its root is read-only")


def run_pipelines() -> None:
    """A server, the deployments and a worker a pool, each in its image; then the manifest, until its parent ends."""
    with tempfile.TemporaryDirectory(prefix="asteroid-images-") as folder, contextlib.ExitStack() as stack:
        state = Path(folder)
        for name in ("store", "manifests"):
            (state / name).mkdir()
        # What a named volume gets from the image.
        os.chown(state / "store", 1000, 1000)
        state.chmod(0o755)
        (state / "manifests/images.yaml").write_text(MANIFEST)
        site = Site(state, free_ports(1 + len(COMPOSE["services"])), f"asteroid:{secrets.token_hex(16)}")
        try:
            began = time.monotonic()
            stack.enter_context(site.service("server"))
            wait_for(f"{site.api}/health")
            wait_for(site.api.removesuffix("api"))
            with site.service("deploy") as deploying:
                if deploying.wait():
                    sys.exit("images-test: the deployments failed")
            workers = [name for name, service in COMPOSE["services"].items() if "worker" in service.get("command", [])]
            for name in workers:
                stack.enter_context(site.service(name))
            for name in workers:
                wait_for(f"http://127.0.0.1:{site.port(name)}/health")
            print(f"images-test: server, deployments and {len(workers)} workers in {time.monotonic() - began:.0f} s")
            run = ["prefect", "deployment", "run", "asteroid/full-pipeline", "-p", "manifest=manifests/images.yaml"]
            began = time.monotonic()
            with site.service("orchestrator", [*run, "--watch"], log="client") as client:
                code = client.wait()
            print(f"images-test: the pipelines ended with exit code {code} after {time.monotonic() - began:.0f} s")
            problems = judge(site) + ([f"exit code {code}"] if code else [])
            owners = {path.stat().st_uid for path in (state / "store").rglob("*")}
            if owners != {1000}:
                problems.append(f"files in the store belong to {owners}, not to user 1000")
        except BaseException:
            for log in sorted(state.glob("*.log")):
                print(f"--- {log.name}", *log.read_text().splitlines()[-30:], sep="\n")
            raise
    if problems:
        sys.exit("images-test: FAILED: " + "; ".join(problems))
    print("images-test: every step completed in the image of its pool")


class Site:
    """The services of the compose file as chroots of their images, on 127.0.0.1.

    Args:
        state: folder with store, manifests and logs.
        ports: free ones: the server's, then one for each worker's health check.
        auth: user and password of the server.
    """

    def __init__(self, state: Path, ports: list[int], auth: str) -> None:
        self.state, self._ports, self._auth = state, ports, auth
        self.api = f"http://127.0.0.1:{ports[0]}/api"

    def port(self, service: str) -> int:
        """Of a worker's health check: in one network, they cannot all have 8080."""
        return self._ports[1 + list(COMPOSE["services"]).index(service)]

    @contextlib.contextmanager
    def service(
        self, name: str, command: list[str] | None = None, *, log: str | None = None
    ) -> "Iterator[subprocess.Popen[bytes]]":
        """Start a service, or another command in a container of its kind; it is stopped at the end."""
        service = COMPOSE["services"][name]
        command = command or [word if word != "4200" else str(self._ports[0]) for word in service["command"]]
        volumes = []
        for volume in service.get("volumes", []):
            source, _, inside = volume.partition(":")
            volumes += ["--volume", f"{self.state / Path(source).name}:{inside}"]
        for inside in WRITABLE:
            own = self.state / (log or name) / Path(inside).name
            own.mkdir(parents=True)
            os.chown(own, 1000, 1000)
            volumes += ["--volume", f"{own}:{inside}"]
        environment = [f"--env={key}={value}" for key, value in self._environment(name).items()]
        with (
            container(service["image"].removeprefix("asteroid-")) as made,
            (self.state / f"{log or name}.log").open("wb") as file,
        ):
            process = subprocess.Popen(
                ["buildah", "run", *CHROOT, *volumes, *environment, made, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                stop(process)

    def _environment(self, name: str) -> dict[str, str]:
        found = compose_environment(name, {"PREFECT_AUTH_STRING": self._auth, "ASTEROID_CORES": "0"})
        # The database is the server's own file.
        found.pop("PREFECT_API_DATABASE_CONNECTION_URL", None)
        if "PREFECT_API_URL" in found:
            found["PREFECT_API_URL"] = self.api
        return found | {"PREFECT_WORKER_WEBSERVER_PORT": str(self.port(name))}

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """Post to the server's API."""
        token = base64.b64encode(self._auth.encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        request = urllib.request.Request(f"{self.api}/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def compose_environment(service: str, known: dict[str, str]) -> dict[str, str]:
    """Environment of a service of the compose file, with the variables of its ``compose.env`` filled in."""
    return {
        key: re.sub(r"\$\{(\w+)[^}]*\}", lambda match: known.get(match[1], ""), value)
        for key, value in COMPOSE["services"][service].get("environment", {}).items()
    }


def judge(site: Site) -> list[str]:
    """Print every flow run with the image it ran in; what is wrong with them."""
    images = {
        service["command"][service["command"].index("--pool") + 1]: service["image"]
        for service in COMPOSE["services"].values()
        if "worker" in service.get("command", [])
    }
    problems: list[str] = []
    completed: set[str] = set()
    for run in sorted(site.ask("flow_runs/filter", {"limit": 200}), key=lambda run: run["start_time"] or ""):
        pool = run["work_pool_name"]
        print(f"  {images[pool]:21} {pool:13} {run['total_run_time']:6.1f} s  {run['state_name']:10} {run['name']}")
        if run["state_type"] == "COMPLETED":
            completed |= {step["name"] for step in run["parameters"].get("steps", [])}
        else:
            problems.append(f"{run['name']}: {run['state']['message']}")
    if never := set(STEPS) - completed:
        problems.append(f"never completed: {', '.join(sorted(never))}")
    for certificate in sorted((site.state / "store/reports").glob("*/*/certificate.json")):
        lines = json.loads(certificate.read_text())["lines"]
        print(
            f"  certificate of {certificate.parts[-3]}: {sum(bool(line['passed']) for line in lines)} of {len(lines)}"
        )
    return problems


def image(target: str) -> str:
    return f"localhost/asteroid-{target}"


@contextlib.contextmanager
def container(target: str) -> Iterator[str]:
    """A container with a read-only root, removed at the end."""
    name = _run("buildah", "from", image(target)).strip()
    root = Path(_run("buildah", "mount", name).strip())
    try:
        # Here buildah itself, not the user, makes and removes a file.
        _run("mount", "--types", "tmpfs", "--options", "mode=755", "tmpfs", str(root / "run"))
        _run("mount", "--options", "remount,ro", str(root))
        yield name
    finally:
        for command in (["umount", str(root / "run")], ["buildah", "rm", name]):
            subprocess.run(command, stdout=subprocess.DEVNULL)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the process group to end, and after a while make it."""
    for wanted, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, wanted)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.5)
    raise SystemExit(f"images-test: {url} did not answer within {START_SECONDS:.0f} s")


def _run(*command: str) -> str:
    result = subprocess.run(command, cwd=HOME, capture_output=True, text=True)
    if result.returncode:
        tail = "\n".join((result.stdout + result.stderr).splitlines()[-30:])
        raise SystemExit(f"images-test: {' '.join(command[:3])} … ended with exit code {result.returncode}:\n{tail}")
    return result.stdout


if __name__ == "__main__":
    main()
