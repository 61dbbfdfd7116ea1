"""``asteroid init``: a first manifest of one molecule."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asteroid.cli.common import out
from asteroid.errors import InputError

if TYPE_CHECKING:
    from asteroid.stages.first_manifest import FirstManifest

LevelOption = Annotated[
    str | None,
    typer.Option(help="Accurate level, such as ccsd(t)/cc-pvdz.", show_default="the best that the time allows"),
]
HoursOption = Annotated[float, typer.Option(min=0.01, help="Time for all accurate labels on all cores.")]
HOURS = 4.0


def init(
    structure: Annotated[str, typer.Argument(help="SMILES, or a geometry file that ASE reads.")],
    manifest: Annotated[Path, typer.Argument(help="File to write.")] = Path("manifest.yaml"),
    name: Annotated[str | None, typer.Option(help="Name of the molecule.", show_default="from the structure")] = None,
    level: LevelOption = None,
    hours: HoursOption = HOURS,
) -> None:
    """Write a first manifest from a SMILES or a geometry file.

    Chooses the most accurate level whose labels fit the time and memory of this machine: CCSD(T) for a few atoms,
    density functionals with dispersion for more. Costs are rough; "asteroid plan" measures them.

    "asteroid run CCO" writes such a manifest and runs it.

    Examples: asteroid init CCO ethanol.yaml, or asteroid init caffeine.xyz caffeine.yaml --hours 12
    """
    if manifest.exists():
        raise InputError(f"{manifest}: found a file of this name; write the name of a new one")
    if not manifest.resolve().parent.is_dir():
        raise InputError(f"{manifest}: found no folder '{manifest.parent}'; write one that exists")
    _write(_first_manifest(structure, manifest, name, level, hours), manifest, hours)
    out.print(f"Next: asteroid plan {manifest}, then asteroid run {manifest}", markup=False)


def manifest_of(structure: str, level: str | None, hours: float) -> Path:
    """Path of a manifest of one molecule in the current folder, which is written unless it is there.

    Raises:
        InputError: for a wrong structure or level, and if another manifest has its name.
    """
    found = _first_manifest(structure, Path("manifest.yaml"), None, level, hours)
    manifest = Path(f"{found.name}.yaml")
    if not manifest.exists():
        _write(found, manifest, hours)
    elif manifest.read_text() != found.text:
        raise InputError(
            f"{manifest}: found another manifest than that of '{structure}'; write 'asteroid run {manifest}', "
            "or remove it"
        )
    return manifest


def _first_manifest(structure: str, target: Path, name: str | None, level: str | None, hours: float) -> "FirstManifest":
    from asteroid.stages.first_manifest import LEVELS, first_manifest

    levels = [level] if level else LEVELS
    try:
        return first_manifest(structure, target, name=name, levels=levels, core_hours=hours * _cores())
    except OSError as error:
        raise _unwritable(target, error) from None


def _write(found: "FirstManifest", target: Path, hours: float) -> None:
    try:
        # Not over a file that has appeared meanwhile.
        with target.open("x") as file:
            file.write(found.text)
    except OSError as error:
        raise _unwritable(target, error) from None
    out.print(f"{target}: {found.level}, about {found.price} for its labels", markup=False)
    if found.core_hours > hours * _cores():
        out.print(f"That is more than {hours:g} hours on {_cores()} cores; take fewer labels or a cheaper level")


def _unwritable(target: Path, error: OSError) -> InputError:
    return InputError(f"{target}: cannot be written ({error.strerror}); write another path")


def _cores() -> int:
    return len(os.sched_getaffinity(0))
