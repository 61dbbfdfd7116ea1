"""``asteroid import`` and ``asteroid export``: labels from and for other programs."""

import re
from pathlib import Path
from typing import Annotated

import typer

from asteroid.cli.common import JsonOption, StoreOption, make_table, out, parse_level, print_json

MoleculeOption = Annotated[str, typer.Option("--molecule", help="Name of the molecule in the store.")]
LevelOption = Annotated[
    str, typer.Option("--level", help="Level of theory of the labels; any method, e.g. ccsd(t)-f12/aug-cc-pvtz.")
]


def import_labels(
    files: Annotated[list[Path], typer.Argument(help="Labelled extxyz, npz (N, Z, R, E, F) or Parquet files.")],
    molecule: MoleculeOption,
    level: LevelOption,
    store: StoreOption = "./store",
    energy_unit: Annotated[str, typer.Option(help="Energy unit of the files: eV, hartree, kcal/mol or kJ/mol.")] = "eV",
    length_unit: Annotated[str, typer.Option(help="Length unit of the files: Å (or angstrom) or bohr.")] = "Å",
    gradients: Annotated[bool, typer.Option("--gradients", help="The files' forces are gradients, +dE/dR.")] = False,
    charge: Annotated[int | None, typer.Option(help="Total charge in e; from the file, else 0.")] = None,
    multiplicity: Annotated[int | None, typer.Option(help="2S + 1; from the file, else the lowest.")] = None,
    energy_key: Annotated[
        str | None, typer.Option(help="Key in extxyz files; REF_energy, else energy, when not given.")
    ] = None,
    forces_key: Annotated[
        str | None, typer.Option(help="Key in extxyz files; REF_forces, else forces, when not given.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="K, if the frames are Boltzmann distributed at this temperature.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of all new frames; from the file, else alternating blocks of frames.")
    ] = None,
    frames_per_group: Annotated[
        int, typer.Option(min=1, help="Number of consecutive frames that share a split; 1 if they are independent.")
    ] = 20,
    core_seconds: Annotated[float, typer.Option(help="Cost of each label, for the ledger.")] = 0.0,
    tolerance: Annotated[float, typer.Option(help="Å, largest difference of coordinates of equal geometries.")] = 1e-4,
    reject_bad: Annotated[
        bool, typer.Option("--reject-bad", help="Store bad labels as rejected instead of refusing their file.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add labels from other programs to a store.

    Equal geometries become one frame, from any file or level. Everything is checked before anything is written, and a
    file imported again adds nothing.
    """
    from asteroid.exchange import Conventions, ImportSettings, import_files
    from asteroid.store import Store

    settings = ImportSettings(
        molecule=molecule,
        level=parse_level("--level", level),
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
        typer.Option(
            "--out",
            help="File to write; for mace and huggingface a folder with a file per split. Default: molecule and level.",
        ),
    ] = None,
    store: StoreOption = "./store",
    format: Annotated[
        str, typer.Option("--format", help="extxyz, mace, parquet, qcschema, asedb or huggingface.")
    ] = "extxyz",
    split: Annotated[str | None, typer.Option(help="Only frames of this split.")] = None,
    license: Annotated[str | None, typer.Option(help="Licence for the card of huggingface, such as cc-by-4.0.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write accepted labels for other programs.

    extxyz is for ASE, mace for mace_run_train, parquet is one flat table with units. qcschema has one AtomicResult per
    line, asedb is a database for ase.db, and huggingface a folder with Parquet files and a dataset card.
    """
    from asteroid.exchange import export_labels
    from asteroid.store import Store

    out_path = file or Path(_file_name(molecule, level, format))
    written = export_labels(
        Store(store), molecule, parse_level("--level", level), format=format, out=out_path, split=split, license=license
    )
    if as_json:
        print_json([{**vars(one), "file": str(one.file)} for one in written])
        return
    table = make_table(f"{molecule} at {level}, exported from {store}", ("file",), ("labels", "energy only"))
    for one in written:
        table.add_row(str(one.file), str(one.labels), str(one.energy_only))
    out.print(table)


def _file_name(molecule: str, level: str, format: str) -> str:
    """File name for a molecule and a level, without the special characters of the level.

    >>> _file_name("water", "ccsd(t)/6-31g*", "extxyz")
    'water-ccsd_t_6-31gs.extxyz'
    """
    stem = re.sub(r"[^A-Za-z0-9+-]+", "_", f"{molecule}-{level}".replace("*", "s")).strip("_")
    endings = {"mace": "", "huggingface": "", "qcschema": ".jsonl", "asedb": ".db"}
    return stem + endings.get(format, f".{format}")
