"""Programs that MolSSI's QCEngine drives, as levels ``program:method[/basis]``: ``psi4:b3lyp-d3bj/def2-svp``.

A level is passed on as it is written: functionals, grids, frozen cores and density fitting are the program's, under the
program's names, but for :data:`KEYWORDS`. ``qcengine:program:…`` means the same, and reaches a program whose name is
that of another engine. A job that fails is a failed label with the program's last words.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from asteroid.configuration import Configuration
from asteroid.engines import BUILT_IN, Capabilities, Engine, Labeller, Result, require, settings_hash
from asteroid.errors import AsteroidError, InputError, LabelFailed, suggest
from asteroid.levels import LevelOfTheory
from asteroid.units import BOHR, HARTREE, HARTREE_PER_BOHR

KEYWORDS: Final[dict[str, dict[str, Any]]] = {
    # As asteroid's own labels: exact integrals, a frozen core, and converged to where forces are good to 1e-5 eV/Å.
    "psi4": {
        "scf_type": "pk",
        "mp2_type": "conv",
        "cc_type": "conv",
        "freeze_core": True,
        "e_convergence": 1e-9,
        "d_convergence": 1e-8,
        "dft_radial_points": 99,
        "dft_spherical_points": 590,
    },
    "nwchem": {
        "basis__spherical": True,
        "scf__thresh": 1e-8,
        "dft__convergence__energy": 1e-9,
        "dft__grid": "xfine",
        "mp2__freeze": "atomic",
        "tce__freeze": "atomic",
    },
}
"""By program; other programs have their own defaults."""

WITH_TORCH: Final = frozenset({"aimnet2", "mace", "orb", "torchani"})
"""Programs that are potentials and load torch into the process that calls them."""

ATTEMPTS: Final = 2
"""Times that a job is run whose failure QCEngine takes for chance."""

LAST_WORDS: Final = 200
"""Characters of a failed job's message, which says what is wrong at its end."""


@cache
def program_names() -> frozenset[str]:
    """What QCEngine can drive, installed or not; nothing where it is not installed itself."""
    if importlib.util.find_spec("qcengine") is None:
        return frozenset()
    import qcengine

    return frozenset(qcengine.list_all_programs())


@dataclass(frozen=True)
class QCEngineLabeller:
    """One model of one program."""

    level: LevelOfTheory

    @property
    def program(self) -> str:
        return _split(self.level)[0]

    @property
    def version(self) -> str:
        return _version(self.program)

    @property
    def settings(self) -> str:
        return settings_hash({"keywords": KEYWORDS.get(self.program, {})})

    def load(self) -> None:
        # A program that is not there says nothing about a frame.
        try:
            _version(self.program)
        except AsteroidError as error:
            raise ImportError(str(error)) from error
        # Of the worker: what a program leaves where it runs (Psi4 a timer.dat) is thrown away with its scratch.
        os.chdir(tempfile.mkdtemp())

    def compute(self, configuration: Configuration, *, forces: bool = True) -> Result:
        """One label, on one core.

        Raises:
            LabelFailed: when the program fails, with its reason.
        """
        import qcengine
        from qcelemental.models import AtomicInput, Molecule

        program, method, basis = _split(self.level)
        molecule = Molecule(
            symbols=configuration.symbols,
            geometry=configuration.positions / BOHR,
            molecular_charge=configuration.charge,
            molecular_multiplicity=configuration.multiplicity,
            # The frame's own axes, in which forces are wanted, and its positions as they are: not rounded to 1e-8 bohr.
            fix_com=True,
            fix_orientation=True,
            geometry_noise=13,
        )
        job = AtomicInput(
            molecule=molecule,
            driver="gradient" if forces else "energy",
            model={"method": method, "basis": basis},
            keywords=KEYWORDS.get(program, {}),
        )
        done = qcengine.compute(job, program, task_config={"ncores": 1, "nnodes": 1, "retries": ATTEMPTS - 1})
        if not done.success:
            message = " ".join(str(done.error.error_message).split())
            raise LabelFailed(f"{program}: {done.error.error_type}: {message[-LAST_WORDS:]}")
        gradient = np.array(done.return_result, dtype=np.float64).reshape(-1, 3) if forces else None
        return Result(
            energy=float(done.properties.return_energy if forces else done.return_result) * HARTREE,
            forces=None if gradient is None else -gradient * HARTREE_PER_BOHR,
            positions=np.array(done.molecule.geometry, dtype=np.float64) * BOHR,
        )


class QCEngine(Engine):
    name = "qcengine"

    def read(self, level: LevelOfTheory, folder: Path) -> LevelOfTheory:
        require("qcengine", "engines")
        program, _, model = str(level).removeprefix("qcengine:").lower().partition(":")
        if program not in program_names():
            raise InputError(f"QCEngine drives no program '{program}'; {suggest(program, program_names())}")
        if not model or model.startswith("/") or model.endswith("/"):
            raise InputError(f"it has no method; write {program}:method/basis, such as {program}:b3lyp/def2-svp")
        return LevelOfTheory.parse(f"qcengine:{program}:{model}" if program in BUILT_IN else f"{program}:{model}")

    def capabilities(self, level: LevelOfTheory) -> Capabilities:
        program = _split(level)[0]
        return Capabilities(
            properties=frozenset({"energy", "forces"}),
            # To start a program takes most of a second.
            seconds=lambda atoms: 1.0 + 0.02 * atoms**3,
            process="torch" if program in WITH_TORCH else "plain",
        )

    def make(self, level: LevelOfTheory) -> Labeller:
        require("qcengine", "engines")
        return QCEngineLabeller(level)


def _split(level: LevelOfTheory) -> tuple[str, str, str | None]:
    """Program, method and basis set.

    >>> _split(LevelOfTheory.parse("psi4:b3lyp-d3bj/def2-svp"))
    ('psi4', 'b3lyp-d3bj', 'def2-svp')
    """
    program, _, model = str(level).removeprefix("qcengine:").partition(":")
    method, _, basis = model.partition("/")
    return program, method, basis or None


@cache
def _version(program: str) -> str:
    """Of a program, asked in a folder that is thrown away: Psi4 leaves a ``timer.dat`` wherever it is asked."""
    with tempfile.TemporaryDirectory(prefix="asteroid-version-") as folder:
        command = [sys.executable, "-c", _ASK, program]
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise AsteroidError(f"{program} is not installed, or not where QCEngine looks for it")
    return said.stdout.split()[-1]


_ASK: Final = "import sys, qcengine; print(qcengine.get_program(sys.argv[1]).get_version())"
"""Fails where the program is not found."""


ENGINE: Final = QCEngine()
