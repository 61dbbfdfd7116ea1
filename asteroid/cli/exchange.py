"""``asteroid import`` and ``asteroid export``: labels from elsewhere, and labels for elsewhere."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from asteroid.cli.common import JsonOption, StoreOption, out, print_json
from asteroid.cli.tables import make_table
from asteroid.errors import InputError

MoleculeOption = Annotated[str, typer.Option("--molecule", help="Its name in the store.")]
LevelOption = Annotated[
    str, typer.Option("--level", help="Level of theory of the labels; any method, e.g. ccsd(t)-f12/aug-cc-pvtz.")
]


def import_labels(
    files: Annotated[list[Path], typer.Argument(help="Labelled extxyz, npz (N, Z, R, E, F) or Parquet files.")],
    molecule: MoleculeOption,
    level: LevelOption,
    store: StoreOption = "./store",
    energy_unit: Annotated[str, typer.Option(help="Of the files: eV, hartree, kcal/mol or kJ/mol.")] = "eV",
    length_unit: Annotated[str, typer.Option(help="Of the files: Å (or angstrom) or bohr.")] = "Å",
    gradients: Annotated[bool, typer.Option("--gradients", help="What they call forces is +dE/dR.")] = False,
    charge: Annotated[int | None, typer.Option(help="Total charge in e; as the file says, else 0.")] = None,
    multiplicity: Annotated[int | None, typer.Option(help="2S + 1; as the file says, else the lowest.")] = None,
    energy_key: Annotated[str | None, typer.Option(help="Of extxyz; REF_energy, else energy, when not given.")] = None,
    forces_key: Annotated[str | None, typer.Option(help="Of extxyz; REF_forces, else forces, when not given.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="K, if the frames are Boltzmann distributed at that temperature.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of all new frames; as the file says, else blocks of frames take turns.")
    ] = None,
    frames_per_group: Annotated[
        int, typer.Option(min=1, help="Neighbouring frames that share a split; 1 if they are independent.")
    ] = 20,
    core_seconds: Annotated[float, typer.Option(help="What each label cost, for the ledger.")] = 0.0,
    tolerance: Annotated[float, typer.Option(help="Å, by which coordinates of equal geometries may differ.")] = 1e-4,
    reject_bad: Annotated[
        bool, typer.Option("--reject-bad", help="Store bad labels as rejected instead of refusing their file.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add labels that were computed elsewhere to a store.

    Equal geometries meet on one frame, whatever file or level they come from. Everything is checked before anything is
    written, and a file that is imported again adds nothing.
    """
    from asteroid.exchange import Conventions, ImportSettings, import_files
    from asteroid.store import Store

    settings = ImportSettings(
        molecule=molecule,
        level=_level(level),
        conventions=Conventions(
            energy_unit=energy_unit,
            length_unit=length_unit,
            gradients=gradients,
            charge=charge,
            multiplicity=multiplicity,
            energy_key=energy_key,
            forces_key=forces_key,
        ),
        tolerance=tolerance,
        split=split,  # type: ignore[arg-type]  # checked there
        frames_per_group=frames_per_group,
        temperature=temperature,
        core_seconds=core_seconds,
        reject_bad=reject_bad,
    )
    imported = import_files(Store(store), files, settings)
    if as_json:
        print_json([{**vars(one), "file": str(one.file)} for one in imported])
        return
    names = ("frames", "new frames", "new labels", "energy only", "known", "copies", "rejected", "left out")
    table = make_table(f"{molecule} at {settings.level}, imported into {store}", ("file",), names)
    for one in imported:
        counts = (one.frames, sum(one.new_frames.values()), one.labels, one.energy_only)
        rest = (one.known, one.copies, one.rejected, one.left_out)
        table.add_row(str(one.file), *map(str, counts + rest))
    out.print(table)
    for one in imported:
        splits = ", ".join(f"{count} {name}" for name, count in sorted(one.new_frames.items()))
        out.print(f"{one.file}: took {one.keys}" + (f"; new frames: {splits}" if splits else ""), markup=False)
        for note in one.notes:
            out.print(f"{one.file}: {note}", markup=False)
    if settings.level.family == "imported":
        out.print(f"asteroid does not compute {settings.level}: a manifest cannot name it", markup=False)


def export(
    molecule: MoleculeOption,
    level: LevelOption,
    file: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; for mace a folder, one file a split. Named by molecule and level."),
    ] = None,
    store: StoreOption = "./store",
    format: Annotated[str, typer.Option("--format", help="extxyz, mace or parquet.")] = "extxyz",
    split: Annotated[str | None, typer.Option(help="Frames of this one alone.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write accepted labels for other programs.

    extxyz is what ASE reads, mace what mace_run_train trains on as it is, parquet one flat table with units.
    """
    from asteroid.exchange import export_labels
    from asteroid.store import Store

    out_path = file or Path(_file_name(molecule, level, format))
    written = export_labels(Store(store), molecule, _level(level), format=format, out=out_path, split=split)
    if as_json:
        print_json([{**vars(one), "file": str(one.file)} for one in written])
        return
    table = make_table(f"{molecule} at {level}, exported from {store}", ("file",), ("labels", "energy only"))
    for one in written:
        table.add_row(str(one.file), str(one.labels), str(one.energy_only))
    out.print(table)


def _file_name(molecule: str, level: str, format: str) -> str:
    """Of an export that nobody named; a level holds characters that file names do without.

    >>> _file_name("water", "ccsd(t)/6-31g*", "extxyz")
    'water-ccsd_t_6-31gs.extxyz'
    """
    stem = re.sub(r"[^A-Za-z0-9+-]+", "_", f"{molecule}-{level}".replace("*", "s")).strip("_")
    return stem if format == "mace" else f"{stem}.{format}"


def _level(text: str) -> Any:
    from asteroid.levels import LevelOfTheory

    try:
        return LevelOfTheory.parse(text, imported=True)
    except InputError as error:
        raise InputError(f"--level: {error}") from None
