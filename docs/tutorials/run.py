"""Run the tutorials one after the other in one folder, and keep their output in them: `make docs-tutorials`.

A cell that fails ends it. Paths and times of the machine are not kept, nor lines about work that is not finished.
"""

import argparse
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
CLONE = HERE.parents[1]
sys.path.insert(0, str(CLONE))

from tests.slurm.cluster import cluster  # noqa: E402
from tests.slurm.cluster import missing as slurm_missing  # noqa: E402

ORDER = ("formaldehyde", "ase", "simulate", "own-labels", "rounds", "several-molecules", "conformers", "slurm")
"""Each in the folder named after it, except for those of :data:`SAME_FOLDER`."""
SAME_FOLDER = {"ase": "formaldehyde", "simulate": "formaldehyde"}
"""Tutorials that go on with the store of another one."""
COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
PROGRESS = re.compile(r"^\d\d:\d\d:\d\d .*, (?:about \d+:\d\d|unknown time) left\n", re.MULTILINE)
"""Lines of ``asteroid run`` for people who wait."""


def run(name: str, folder: Path) -> None:
    """Run one notebook and store it with its output."""
    path = HERE / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    where = folder / SAME_FOLDER.get(name, name)
    where.mkdir(exist_ok=True)
    with clone_on_slurm(where) if name == "slurm" else contextlib.nullcontext():
        NotebookClient(
            notebook, timeout=3600, coalesce_streams=True, resources={"metadata": {"path": str(where)}}
        ).execute()
    clean(notebook, where)
    path.write_text(nbformat.writes(notebook) + "\n")


@contextlib.contextmanager
def clone_on_slurm(folder: Path) -> Iterator[None]:
    """Make the folder look like this clone, and give it the Slurm cluster of the tests (Debian, as root)."""
    for name in (".venv", "asteroid", "flows", "infra", "prefect.yaml"):
        (folder / name).symlink_to(CLONE / name)
    with cluster(folder / "cluster", dict(os.environ)) as slurm:
        os.environ.update(slurm.environment)
        yield


def clean(notebook: nbformat.NotebookNode, where: Path) -> None:
    """Remove what differs from run to run or from machine to machine, colours of a terminal, and progress."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "text" in output:
                text = COLOURS.sub("", output["text"]).replace("\r\n", "\n").replace(f"{where}/", "")
                lines = PROGRESS.sub("", text).splitlines(keepends=True)
                output["text"] = "".join(line for line in lines if "cuequivariance" not in line)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("text") != ""]


def _possible() -> Sequence[str]:
    """All tutorials; without Slurm only the others."""
    if reason := slurm_missing():
        print(f"slurm is left out: {reason}", flush=True)
        return [name for name in ORDER if name != "slurm"]
    return ORDER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="all that can run here by default")
    parser.add_argument("--folder", type=Path, help="where to run; a temporary folder by default")
    chosen = parser.parse_args()
    # `asteroid` is the one of this environment; cells are run by this Python.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for name in chosen.names or _possible():
            started = time.monotonic()
            run(name, folder)
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
