"""``asteroid init``: a first manifest of one molecule."""

import os
from pathlib import Path
from typing import Annotated

import typer

from asteroid.cli.common import out
from asteroid.errors import InputError


def init(
    structure: Annotated[str, typer.Argument(help="SMILES, or a geometry file that ASE reads.")],
    manifest: Annotated[Path, typer.Argument(help="File to write.")] = Path("manifest.yaml"),
    name: Annotated[str | None, typer.Option(help="Name of the molecule.", show_default="from the structure")] = None,
    level: Annotated[
        str | None,
        typer.Option(help="Accurate level, such as ccsd(t)/cc-pvdz.", show_default="the best that the time allows"),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, help="Time for all accurate labels on all cores.")] = 4.0,
) -> None:
    """Write a first manifest from a SMILES or a geometry file.

    Chooses the most accurate level whose labels fit the time and memory of this machine: CCSD(T) for a few atoms,
    density functionals with dispersion for more. Costs are rough; "asteroid plan" measures them.

    Examples: asteroid init CCO ethanol.yaml, or asteroid init caffeine.xyz caffeine.yaml --hours 12
    """
    from asteroid.stages.first_manifest import LEVELS, first_manifest

    if manifest.exists():
        raise InputError(f"{manifest}: found a file of this name; write the name of a new one")
    if not manifest.resolve().parent.is_dir():
        raise InputError(f"{manifest}: found no folder '{manifest.parent}'; write one that exists")
    cores = len(os.sched_getaffinity(0))
    levels = [level] if level else LEVELS
    try:
        found = first_manifest(structure, manifest, name=name, levels=levels, core_hours=hours * cores)
        # Not over a file that has appeared meanwhile.
        with manifest.open("x") as file:
            file.write(found.text)
    except OSError as error:
        raise InputError(f"{manifest}: cannot be written ({error.strerror}); write another path") from None
    out.print(f"{manifest}: {found.level}, about {found.core_hours:.1g} core-hours for its labels", markup=False)
    if found.core_hours > hours * cores:
        out.print(f"That is more than {hours:g} hours on {cores} cores; take fewer labels or a cheaper level")
    out.print(f"Next: asteroid plan {manifest}, then asteroid run {manifest}", markup=False)
