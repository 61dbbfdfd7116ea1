"""Labels for archives and for other projects: QCSchema, ASE's database, and a dataset as on Hugging Face.

:mod:`asteroid.exchange.exporting` calls these writers, and has those for programs that train. The flat table here is
also its Parquet file.
"""

import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from asteroid.configuration import SPLITS, Frame
from asteroid.errors import MissingDependencyError
from asteroid.levels import LevelOfTheory
from asteroid.store.rows import FRAME_SCHEMA, LABEL_SCHEMA, Attempt
from asteroid.units import BOHR, HARTREE, HARTREE_PER_BOHR
from asteroid.version import __version__

Labelled = tuple[Frame, Attempt]
Part = tuple[Path, Sequence[Labelled], bytes]
"""File, its frames (none where it only describes others), and its content."""


# -- QCSchema --------------------------------------------------------------------------------------------------------


def qcschema(out: Path, labelled: Sequence[Labelled], molecule: str, level: LevelOfTheory) -> Iterator[Part]:
    """One AtomicResult per line, in atomic units: with forces a gradient, else an energy.

    See https://molssi-qc-schema.readthedocs.io. Frame, split and sampler are in ``extras``.
    """
    lines = (json.dumps(_atomic_result(frame, label, molecule, level), allow_nan=False) for frame, label in labelled)
    yield out, labelled, "".join(f"{line}\n" for line in lines).encode()


def _atomic_result(frame: Frame, label: Attempt, molecule: str, level: LevelOfTheory) -> dict[str, object]:
    configuration = frame.configuration
    assert label.energy is not None
    energy = label.energy / HARTREE
    gradient = None if label.forces is None else (-label.forces / HARTREE_PER_BOHR).ravel().tolist()
    properties = {"calcinfo_natom": len(configuration.numbers), "return_energy": energy}
    # A sum of levels, and a level of an engine's own, has no basis set of its own.
    plain = not level.parts and level.engine is None
    return {
        "schema_name": "qcschema_output",
        "schema_version": 1,
        "id": frame.frame_id,
        "molecule": {
            "schema_name": "qcschema_molecule",
            "schema_version": 2,
            "name": molecule,
            "symbols": configuration.symbols,
            "geometry": (configuration.positions / BOHR).ravel().tolist(),
            "molecular_charge": configuration.charge,
            "molecular_multiplicity": configuration.multiplicity,
            # The gradient is that of these axes.
            "fix_com": True,
            "fix_orientation": True,
        },
        "driver": "energy" if gradient is None else "gradient",
        "model": {
            "method": str(level).partition("/")[0] if plain else str(level),
            "basis": level.basis if plain else None,
        },
        "keywords": {},
        "properties": properties if gradient is None else {**properties, "return_gradient": gradient},
        "return_result": energy if gradient is None else gradient,
        "success": True,
        # Labels of composite levels are sums of several programs' and name none.
        "provenance": {"creator": label.program or "asteroid", "version": label.version or __version__},
        "extras": {"asteroid": {"level": str(level), "split": frame.split, "origin": frame.origin.method}},
    }


# -- ASE's database ----------------------------------------------------------------------------------------------------


def ase_database(out: Path, labelled: Sequence[Labelled], molecule: str, level: LevelOfTheory) -> Iterator[Part]:
    """A database that ``ase.db.connect`` and ``ase db`` read: energies and forces, and keys to select by.

    Raises:
        MissingDependencyError: without ASE.
    """
    try:
        import ase.db
        from ase.calculators.singlepoint import SinglePointCalculator
    except ModuleNotFoundError:
        raise MissingDependencyError("ase", "label") from None
    with tempfile.TemporaryDirectory(prefix="asteroid-export-") as folder:
        file = Path(folder, "labels.db")
        with ase.db.connect(file) as database:
            for frame, label in labelled:
                configuration = frame.configuration
                atoms = configuration.to_atoms()
                results = {"energy": label.energy} | ({} if label.forces is None else {"forces": label.forces})
                atoms.calc = SinglePointCalculator(atoms, **results)
                database.write(
                    atoms,
                    molecule=molecule,
                    level_of_theory=str(level),
                    split=frame.split,
                    total_charge=configuration.charge,
                    multiplicity=configuration.multiplicity,
                    # Not as a key: ASE refuses strings that look like a number, as a hash may.
                    data={"frame_id": frame.frame_id, "origin": frame.origin.method, "program": label.program},
                )
            database.metadata = {"title": f"{molecule} at {level}", "units": "eV, Å", "asteroid": __version__}
        yield out, labelled, file.read_bytes()


# -- Parquet -----------------------------------------------------------------------------------------------------------

_FRAME_COLUMNS: Final = ("frame_id", "numbers", "positions", "charge", "multiplicity", "split", "group")
_LABEL_COLUMNS: Final = ("energy", "forces", "program", "version")

EXPORT_SCHEMA: Final = pa.schema(
    [
        pa.field("molecule", pa.string(), metadata={"unit": "name"}),
        pa.field("level", pa.string(), metadata={"unit": "level of theory"}),
        *(FRAME_SCHEMA.field(name) for name in _FRAME_COLUMNS),
        FRAME_SCHEMA.field("origin"),
        *(LABEL_SCHEMA.field(name) for name in _LABEL_COLUMNS),
    ]
)
"""Columns of an exported table, with units in their metadata."""


def parquet(out: Path, labelled: Sequence[Labelled], molecule: str, level: LevelOfTheory) -> Iterator[Part]:
    """One flat table with units."""
    rows = [
        {
            "molecule": molecule,
            "level": str(level),
            "frame_id": frame.frame_id,
            "numbers": frame.configuration.numbers,
            "positions": frame.configuration.positions.ravel(),
            "charge": frame.configuration.charge,
            "multiplicity": frame.configuration.multiplicity,
            "split": frame.split,
            "group": frame.group,
            "origin": frame.origin.method,
            "energy": label.energy,
            "forces": None if label.forces is None else label.forces.ravel(),
            "program": label.program,
            "version": label.version,
        }
        for frame, label in labelled
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=EXPORT_SCHEMA), buffer, compression="zstd")
    yield out, labelled, buffer.getvalue()


# -- Hugging Face ------------------------------------------------------------------------------------------------------


def hugging_face(
    out: Path, labelled: Sequence[Labelled], molecule: str, level: LevelOfTheory, *, license: str = "unknown"
) -> Iterator[Part]:
    """A folder for ``datasets.load_dataset``: one Parquet file per split, and a dataset card."""
    by_split = {split: [one for one in labelled if one[0].split == split] for split in SPLITS}
    present = {split: part for split, part in by_split.items() if part}
    for split, part in present.items():
        yield from parquet(out / f"data/{split}.parquet", part, molecule, level)
    counts = {str(split): len(part) for split, part in present.items()}
    yield out / "README.md", (), _dataset_card(labelled, counts, molecule, level, license).encode()


def _dataset_card(
    labelled: Sequence[Labelled], counts: dict[str, int], molecule: str, level: LevelOfTheory, license: str
) -> str:
    """The dataset card, with its properties as YAML at the top."""
    first = labelled[0][0].configuration
    programs = sorted({f"{label.program} {label.version}".strip() for _, label in labelled} - {""})
    energy_only = sum(label.forces is None for _, label in labelled)
    files = [line for split in counts for line in (f"  - split: {split}", f"    path: data/{split}.parquet")]
    features = [line for column in EXPORT_SCHEMA for line in _feature(column)]
    front = [
        "---",
        f"license: {license}",
        f"pretty_name: {json.dumps(f'{molecule} at {level}')}",
        "tags:",
        *(f"- {tag}" for tag in ("chemistry", "molecular-dynamics", "machine-learning-potential", "asteroid")),
        "size_categories:",
        f"- {_size(len(labelled))}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *files,
        "dataset_info:",
        "  features:",
        *features,
        "---",
    ]
    sentences = [
        f"{len(labelled)} energies of {first.formula} ({molecule}, charge {first.charge}, multiplicity "
        f"{first.multiplicity}) at {level}, {len(labelled) - energy_only} of them with forces. Made by asteroid "
        f"{__version__}" + (f" with {', '.join(programs)}." if programs else "."),
        "Energies are total energies in eV, forces are −dE/dR in eV/Å. Frames of one `group` resemble each other and "
        "are in one split; test on `test`, and not on frames drawn from `train`.",
    ]
    if license == "unknown":
        sentences.append("No licence was given: ask the author before you use it.")
    table = [
        "| column | type | unit or meaning |",
        "|---|---|---|",
        *(f"| `{c.name}` | {c.type} | {(c.metadata or {}).get(b'unit', b'').decode()} |" for c in EXPORT_SCHEMA),
    ]
    splits = ["| split | labels |", "|---|---|", *(f"| {split} | {count} |" for split, count in counts.items())]
    parts = [front, [f"# {molecule} at {level}"], *([one] for one in sentences), splits, ["## Columns"], table]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _feature(column: pa.Field) -> list[str]:
    kind = {pa.float64(): "float64", pa.string(): "string"}.get(column.type, str(column.type))
    if pa.types.is_list(column.type):
        value = column.type.value_type
        return [f"  - name: {column.name}", f"    list: {'float64' if value == pa.float64() else value}"]
    return [f"  - name: {column.name}", f"    dtype: {kind}"]


def _size(count: int) -> str:
    """Hugging Face's category.

    >>> _size(99), _size(1000)
    ('n<1K', '1K<n<10K')
    """
    steps = ["1K", "10K", "100K", "1M"]
    place = sum(count >= limit for limit in (10**3, 10**4, 10**5, 10**6))
    return f"n<{steps[0]}" if place == 0 else f"{steps[place - 1]}<n<{(*steps[1:], '10M')[place - 1]}"
