"""``asteroid label``: labels of the frames of a file, to try a level of theory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asteroid import stopping
from asteroid.cli.common import JsonOption, make_table, out, print_json, progress_bar
from asteroid.errors import InputError

if TYPE_CHECKING:
    from asteroid.configuration import Configuration

LEVEL = (
    "Level of theory, e.g. gfn2-xtb, ccsd(t)/cc-pvdz, ccsd(t)/cbs(d,t), a sum such as 'mp2/cc-pvtz + ccsd(t)/cc-pvdz - "
    "mp2/cc-pvdz', potential:so3lr or potential:model.model."
)


def label(
    file: Annotated[Path, typer.Argument(help="Any file that ASE reads; every frame in it is labelled.")],
    level: Annotated[str, typer.Option("--level", help=LEVEL)],
    charge: Annotated[int | None, typer.Option(help="Total charge in e; from the file, else 0.")] = None,
    multiplicity: Annotated[int | None, typer.Option(help="2S + 1; from the file, else the lowest.")] = None,
    engine: Annotated[str | None, typer.Option(help="Engine, for levels of several engines: tblite or xtb.")] = None,
    forces: Annotated[bool, typer.Option(help="Compute forces, or the energy alone.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, one thread each.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Label the frames of a file, to try a level of theory.

    Prints energies in eV and forces in eV/Å; stores nothing.
    """
    from asteroid.engines import resolve
    from asteroid.labelling.campaign import label_in_order
    from asteroid.levels import LevelOfTheory

    stopping.store_nothing()
    try:
        parsed = resolve(LevelOfTheory.parse(level))
    except InputError as error:
        raise InputError(f"--level: {error}") from None
    configurations = _read_configurations(file, charge, multiplicity)
    with progress_bar(len({c.frame_id for c in configurations}), f"{level}", quiet=as_json) as advance:
        attempts = label_in_order(
            configurations, parsed, engine=engine, workers=workers, forces=forces, on_label=advance
        )
    if as_json:
        print_json(
            [
                {
                    "status": a.status,
                    "energy": a.energy,
                    "forces": None if a.forces is None else a.forces.tolist(),
                    "reason": a.reason,
                    "core_seconds": a.core_seconds,
                }
                for a in attempts
            ]
        )
    else:
        figures = ("energy eV", "largest force eV/Å", "core-seconds")
        table = make_table(f"{file} at {parsed}", ("frame", "formula", "status"), figures)
        for index, (configuration, a) in enumerate(zip(configurations, attempts, strict=True)):
            largest = "" if a.forces is None else f"{abs(a.forces).max():.4f}"
            energy = "" if a.energy is None else f"{a.energy:.6f}"
            table.add_row(str(index), configuration.formula, a.status, energy, largest, f"{a.core_seconds:.3f}")
        out.print(table)
        for index, a in enumerate(attempts):
            if a.reason:
                out.print(f"frame {index} {a.status}: {a.reason}", markup=False)
    if any(a.status != "ok" for a in attempts):
        raise typer.Exit(1)


def _read_configurations(file: Path, charge: int | None, multiplicity: int | None) -> list["Configuration"]:
    """Every frame of a file, with the charge and multiplicity given or from the file.

    Raises:
        InputError: when a frame is invalid, or not in Å.
    """
    from asteroid.chemistry.geometry_checks import FARTHEST
    from asteroid.chemistry.geometry_files import configuration_of, read_frames

    configurations = []
    for index, atoms in enumerate(read_frames(file)):
        try:
            configuration = configuration_of(atoms, charge=charge, multiplicity=multiplicity)
        except InputError as error:
            raise InputError(f"{file}: frame {index}: {error}") from None
        if (farthest := abs(configuration.positions).max()) > FARTHEST:
            raise InputError(f"{file}: frame {index}: an atom is at {farthest:.3g} Å; write coordinates in Å")
        configurations.append(configuration)
    return configurations
