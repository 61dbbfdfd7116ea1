"""JSON records of the store as dataclasses: what each holds is said here once, and checked whenever it is read.

:mod:`asteroid.store.paths` says where they lie, :mod:`asteroid.store.json_records` how they are written. The card of a
model is in :mod:`asteroid.store.models`, a certificate in :mod:`asteroid.validation.certificate`; records that one
module writes and reads are in that module.
"""

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, GetPydanticSchema, PlainSerializer, TypeAdapter, ValidationError
from pydantic_core import core_schema

from asteroid.errors import StoreError
from asteroid.store.files import Files

T = TypeVar("T")


def _arrays(kind: type[np.generic]) -> GetPydanticSchema:
    """Arrays of numbers as lists in JSON."""

    def read(value: Any) -> npt.NDArray[Any]:
        try:
            return np.array(value, dtype=kind)
        except TypeError as error:
            # Of lists of different lengths it is a ValueError already.
            raise ValueError(str(error)) from None

    written = core_schema.plain_serializer_function_ser_schema(np.ndarray.tolist)
    schema = core_schema.no_info_plain_validator_function(read, serialization=written)
    return GetPydanticSchema(lambda source, handler: schema)


Floats = Annotated[npt.NDArray[np.float64], _arrays(np.float64)]
Ints = Annotated[npt.NDArray[np.int64], _arrays(np.int64)]

Upper = Annotated[
    float,
    BeforeValidator(lambda value: math.inf if value is None else value),
    PlainSerializer(lambda value: value if math.isfinite(value) else None),
]
"""The upper end of an interval, which may be infinite; JSON has no infinity: null stands for it."""

LeftOut = Annotated[T | None, Field(exclude_if=lambda value: value is None)]
"""None is not written: the key is left out."""


def read(files: Files, kind: type[T], path: str) -> T:
    """The record at a path.

    Raises:
        FileNotFoundError: when there is none.
        StoreError: when it is damaged, or holds something else.
    """
    content = files.read_json(path)
    try:
        found: T = _adapter(kind).validate_python(content)
        return found
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise StoreError(
            f"{files.location(path)} is damaged or foreign ({where}: {first['msg']}); move it out of the store and run "
            "again: it is made again"
        ) from None


def write(files: Files, path: str, record: Any, *, nulls: bool = False) -> None:
    """Store a record; what is stored is never changed. Arguments as in :func:`to_json`."""
    files.write_json(path, to_json(record, nulls=nulls))


def to_json(record: Any, *, nulls: bool = False) -> dict[str, Any]:
    """A record as plain JSON values.

    Args:
        nulls: whether numbers that are not finite become null, as in a certificate; other records refuse them when they
            are written, because null has a meaning of its own there.
    """
    adapter = _adapter(type(record))
    content: dict[str, Any]
    if nulls:
        content = json.loads(adapter.dump_json(record, by_alias=True))
    else:
        content = adapter.dump_python(record, mode="json", by_alias=True)
    return content


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a name of a molecule in the store stands for.

    Args:
        smiles, geometry: one of them; the latter is the SHA-256 of the file.
    """

    smiles: LeftOut[str] = None
    geometry: LeftOut[str] = None
    charge: int
    multiplicity: int


@dataclass(frozen=True, eq=False, kw_only=True)
class ConformerHessian:
    """Second derivatives of a conformer at the level that samples.

    Args:
        engine: program for a semiempirical level.
        hessian: (3N, 3N) eV/Å².
    """

    frame_id: str
    level: str
    engine: str | None
    unit: Literal["eV/Å²"] = "eV/Å²"
    hessian: Floats


@dataclass(frozen=True, kw_only=True)
class FreeAtom:
    """Energy and cost of one free atom at a level.

    Args:
        energy: eV; None where it could not be computed.
        reason: why it could not.
        settings: hash of the program's.
        created: ISO.
        molecule: the first that needed the atom, which has its cost.
    """

    level: str
    element: str
    multiplicity: int
    energy: float | None
    reason: str | None
    program: str
    version: str
    settings: str
    cpu_seconds: float
    wall_seconds: float
    created: str
    molecule: str = ""


@dataclass(frozen=True)
class Shards:
    """Division of a labelling step of a Prefect run.

    Args:
        frames: to label when it was decided.
    """

    level: str
    frames: int
    shards: int


@dataclass(frozen=True, eq=False)
class FoundMinimum:
    """Where a model has its minimum.

    Args:
        positions: (N, 3) Å; where the search ended, if it did not converge.
        hessian: (3N, 3N) eV/Å² there, of the model; None if it did not converge.
    """

    positions: Floats
    hessian: Floats | None
    converged: bool


@dataclass(frozen=True, eq=False)
class TorsionScan:
    """A model's energies while one bond turns and everything else relaxes.

    Args:
        name: of the bond, such as ``H2–C0–O1–H5``.
        atoms: four indices.
        turns: (points,) degrees from the minimum.
        energies: (points,) eV.
        positions: (points, N, 3) Å.
    """

    name: str
    atoms: tuple[int, int, int, int]
    turns: Floats
    energies: Floats
    positions: Floats


@dataclass(frozen=True, eq=False)
class TorsionScans:
    """Of every rotatable bond; none where nothing turns."""

    scans: tuple[TorsionScan, ...]


@dataclass(frozen=True, eq=False)
class AnalyticHessian:
    """Accurate second derivatives, or why there are none.

    Args:
        hessian: (3N, 3N) eV/Å².
        dipole_derivatives: (3N, 3) e; None for an ion, and in records of earlier versions.
    """

    hessian: Floats | None
    core_seconds: float
    problem: str | None = None
    dipole_derivatives: LeftOut[Floats] = None


@dataclass(frozen=True, eq=False, kw_only=True)
class DipoleModel:
    """Weights of a dipole model, which is linear in the node features of a MACE model.

    Args:
        model_id: of the MACE model.
        level: of theory, of the dipoles.
        elements: (Z,) atomic numbers.
        charges: (Z, 1 + S) e, of a constant and of the S scalar features.
        vectors: (Z, V) e·Å, of the V vector features.
        labels, cheap_labels: number of frames whose dipoles it was fitted to.
    """

    model_id: str
    level: str
    elements: tuple[int, ...]
    charges: Floats
    vectors: Floats
    labels: int
    cheap_labels: int


@dataclass(frozen=True)
class EnergyCost:
    """What an accurate energy without forces costs.

    Args:
        frame_id: of the frame that was computed to see.
        core_seconds: None where the label failed.
    """

    frame_id: str
    core_seconds: float | None


@dataclass(frozen=True)
class CheckedLevel:
    """Forces of a level at one molecule, compared with finite differences of its energy.

    Args:
        frame_id: of the geometry; the frame itself need not be in the store.
        force_error: eV/Å along a random direction.
        settings: hash of what computed it: a file's content, a program's keywords.
    """

    frame_id: str
    force_error: float
    program: str
    version: str
    settings: str
