"""Processes that find only what their image has: no torch in ``label``, no quantum chemistry in ``train``.

The packages follow from the extras in ``pyproject.toml`` that ``infra/images/Dockerfile`` installs. A process takes the
side of the first package that only one of the two has; from then on it and its children find none of the other's. Steps
start their heavy work in child processes, so a pipeline in a test is as divided as one on work pools.
"""

import importlib.metadata
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIDES = ("label", "train")
_ONLY, _SIDE, _LOG = "IMAGE_PACKAGES_ONLY", "IMAGE_PACKAGES_SIDE", "IMAGE_PACKAGES_LOG"


def extras(target: str) -> set[str]:
    """The extras that an image installs."""
    dockerfile = (ROOT / "infra/images/Dockerfile").read_text()
    stage = dockerfile.partition(f" AS {target}\n")[2].partition("\nFROM ")[0]
    (found,) = re.findall(r"'\.\[([a-z,]+)\]'", stage)
    return set(found.split(","))


def modules(target: str) -> set[str]:
    """Top-level modules that an image gets from what its extras name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {re.split(r"[^\w-]", line)[0].lower() for extra in extras(target) for line in project[extra]}
    there = importlib.metadata.packages_distributions()
    return {module for module, distributions in there.items() if names & {name.lower() for name in distributions}}


@contextmanager
def divided(folder: Path) -> Iterator[dict[str, str]]:
    """Environment variables for processes that are divided; at the end, both sides must have been seen.

    Args:
        folder: an empty one of its own.
    """
    (folder / "sitecustomize.py").write_text("from tests.image_packages import _install\n_install()\n")
    label, train = (modules(side) for side in SIDES)
    yield {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]),
        _ONLY: f"{','.join(label - train)};{','.join(train - label)}",
        _LOG: str(folder / "sides"),
    }
    assert set((folder / "sides").read_text().split()) == set(SIDES), "steps of both kinds have been run"


class _OneSide(MetaPathFinder):
    """Refuses what the image of this process does not have."""

    def __init__(self, only: dict[str, set[str]]) -> None:
        self._only = only

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        top = fullname.partition(".")[0]
        side = next((side for side in SIDES if top in self._only[side]), None)
        if side is None:
            return
        mine = os.environ.setdefault(_SIDE, side)
        if side != mine:
            raise ModuleNotFoundError(f"the image of this {mine} step has no {top}", name=fullname)
        with Path(os.environ[_LOG]).open("a") as log:
            log.write(f"{side}\n")


def _install() -> None:
    label, _, train = os.environ[_ONLY].partition(";")
    sys.meta_path.insert(0, _OneSide({"label": set(label.split(",")), "train": set(train.split(","))}))
