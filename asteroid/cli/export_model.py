"""``asteroid export-model``: a finished model for another program."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from asteroid.cli.common import JsonOption, StoreOption, out, print_json


def export_model(
    molecule: Annotated[str, typer.Argument(help="Molecule with a certificate; or, with --model-id, name of a model.")],
    format: Annotated[str, typer.Option("--format", help="ase, torchsim, openmm, lammps or metatomic.")],
    folder: Annotated[
        Path | None, typer.Option("--out", help="New folder. Default: molecule and format, such as water-openmm.")
    ] = None,
    store: StoreOption = "./store",
    model_id: Annotated[str | None, typer.Option(help="Another model than that of the newest certificate.")] = None,
    license: Annotated[
        str, typer.Option(help="Licence of the model for its card, such as mit or cc-by-4.0.")
    ] = "unknown",
    as_json: JsonOption = False,
) -> None:
    """Write a model for another program, with its card, limits and an example.

    The folder has the MACE model, card.json, README.md (a model card as on Hugging Face) and run_<format>.py, which
    compares the program's energies and forces with asteroid's and then runs MD:

    asteroid export-model water --format openmm && python water-openmm/run_openmm.py
    """
    from asteroid.model_export import PROGRAMS, export_model
    from asteroid.stages.common import import_mace
    from asteroid.store import Store

    # What is missing is said by the export.
    with contextlib.suppress(ModuleNotFoundError):
        import_mace()
    target = folder or Path(f"{molecule}-{format}")
    files = export_model(Store(store), molecule, format=format, out=target, model_id=model_id, license=license)
    if as_json:
        print_json([str(file) for file in files])
        return
    program = PROGRAMS[format]
    out.print(f"{target}: {', '.join(file.name for file in files)}", markup=False)
    out.print(
        f"with {program.title} (pip install {program.packages}), run: python {target / program.example}", markup=False
    )
