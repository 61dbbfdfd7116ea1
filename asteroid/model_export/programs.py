"""The programs that a model can be exported for, and their example files in ``examples/``.

Every example compares the program's energies and forces with those of asteroid, to 1e-5 eV/atom and 1e-5 eV/Å, and then
runs MD. The tests run each as it is written to the folder.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ase import Atoms

_EXAMPLES: Final = Path(__file__).parent / "examples"


@dataclass(frozen=True)
class Program:
    """One program.

    Args:
        title: its name as its authors write it.
        packages: what pip installs for it.
        files: of ``examples/``; the first is the example that is run.
        more: makes further files from the first geometry.
        note: a sentence on how it calls the model.
    """

    title: str
    packages: str
    files: tuple[str, ...]
    more: "Callable[[Atoms], Mapping[str, bytes]]" = lambda atoms: {}
    note: str = ""

    @property
    def example(self) -> str:
        """Name of the script to run."""
        return self.files[0]

    def written(self, atoms: "Atoms") -> dict[str, bytes]:
        """Name and content of all files of the program."""
        return {name: (_EXAMPLES / name).read_bytes() for name in self.files} | dict(self.more(atoms))


def _data_file(atoms: "Atoms") -> dict[str, bytes]:
    """LAMMPS' data file, with atom types in the order of the elements' symbols."""
    from ase.io.lammpsdata import write_lammps_data

    boxed = atoms.copy()
    boxed.calc = None
    # LAMMPS shrinks the box to the molecule.
    boxed.center(vacuum=10.0)
    boxed.pbc = False
    text = io.StringIO()
    write_lammps_data(text, boxed, specorder=sorted(set(boxed.symbols)), masses=True)
    return {"molecule.data": text.getvalue().encode()}


PROGRAMS: Final = {
    "ase": Program("ASE", "mace-torch", ("run_ase.py",)),
    "torchsim": Program("TorchSim", "mace-torch torch-sim-atomistic==0.3.0", ("run_torchsim.py",)),
    "openmm": Program(
        "OpenMM",
        "mace-torch openmm openmmml ase",
        ("run_openmm.py",),
        note="openmmml calls MACE from OpenMM; its energies are relative to the model's reference energies.",
    ),
    "metatomic": Program(
        "metatomic",
        "metatomic-torch metatomic-ase",
        ("run_metatomic.py",),
        note="The example runs it in ASE. `model.pt` needs no MACE, and also runs in the other programs that have an "
        "interface to metatomic, which was not tried.",
    ),
    "lammps": Program(
        "LAMMPS",
        'mace-torch "lammps[mpi]"',
        ("run_lammps.py", "in.lammps", "md.lammps"),
        more=_data_file,
        note="LAMMPS asks MACE for forces through its fix `external`, on one MPI rank. For a LAMMPS that "
        "was built with `pair_style mace`, `mace_create_lammps_model model.model` makes the file.",
    ),
}
"""By name of the format."""
