"""Programs run by MolSSI's QCEngine, as levels ``program:method[/basis]``: ``psi4:b3lyp-d3bj/def2-svp``.

Method and basis go to the program as written. Grids, frozen cores and density fitting are the program's defaults,
except for :data:`KEYWORDS`. ``qcengine:program:…`` means the same, for a program with the name of another engine. A job
that fails is a failed label with the end of the program's message.
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
    # As asteroid's own labels: exact integrals, frozen core, forces converged to 1e-5 eV/Å.
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
"""Keywords by program; other programs use their defaults."""

WITH_TORCH: Final = frozenset({"aimnet2", "mace", "orb", "torchani"})
"""Potentials that load torch into the calling process."""

ATTEMPTS: Final = 2
"""Number of tries for a job that fails with what QCEngine calls a random error."""

MESSAGE_LENGTH: Final = 200
"""Characters kept from the end of a failed job's message, where the cause stands."""


@cache
def program_names() -> frozenset[str]:
    """Programs that QCEngine can run, installed or not; empty without QCEngine."""
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
        # A missing program is not the fault of a frame.
        try:
            _version(self.program)
        except AsteroidError as error:
            raise ImportError(str(error)) from error
        # Files that a program leaves in its folder (Psi4: timer.dat) are removed with the worker's scratch folder.
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
            # Keep the frame's axes, for the forces, and do not round its positions to 1e-8 bohr.
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
            raise LabelFailed(f"{program}: {done.error.error_type}: {message[-MESSAGE_LENGTH:]}")
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
            raise InputError(f"QCEngine has no program '{program}'; {suggest(program, program_names())}")
        if not model or model.startswith("/") or model.endswith("/"):
            raise InputError(f"no method given; write {program}:method/basis, such as {program}:b3lyp/def2-svp")
        return LevelOfTheory.parse(f"qcengine:{program}:{model}" if program in BUILT_IN else f"{program}:{model}")

    def capabilities(self, level: LevelOfTheory) -> Capabilities:
        program = _split(level)[0]
        return Capabilities(
            properties=frozenset({"energy", "forces"}),
            # Starting a program takes most of a second.
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
    """Version of a program; run in a temporary folder, because Psi4 writes ``timer.dat``."""
    with tempfile.TemporaryDirectory(prefix="asteroid-version-") as folder:
        command = [sys.executable, "-c", _ASK, program]
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise AsteroidError(f"{program} is not installed, or QCEngine does not find it")
    return said.stdout.split()[-1]


_ASK: Final = "import sys, qcengine; print(qcengine.get_program(sys.argv[1]).get_version())"
"""Fails when the program is not found."""


ENGINE: Final = QCEngine()
