"""JSON records of the store as dataclasses: what each holds is said here once, and checked whenever it is read.

:mod:`asteroid.store.paths` says where they lie, :mod:`asteroid.store.json_records` how they are written. The card of a
model is in :mod:`asteroid.store.models`; a certificate is not among them yet: see
:mod:`asteroid.validation.certificate`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError

from asteroid.errors import StoreError
from asteroid.store.files import Files

T = TypeVar("T")


def _to_array(value: Any) -> npt.NDArray[np.float64]:
    # ValueError for lists of different lengths, or of anything but numbers.
    return np.array(value, dtype=np.float64)


Floats = Annotated[npt.NDArray[np.float64], BeforeValidator(_to_array), PlainSerializer(np.ndarray.tolist)]

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


def write(files: Files, path: str, record: Any) -> None:
    """Store a record; what is stored is never changed."""
    files.write_json(path, _adapter(type(record)).dump_python(record, mode="json"))


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


_ARRAYS = ConfigDict(arbitrary_types_allowed=True)


@dataclass(frozen=True, eq=False)
class FoundMinimum:
    """Where a model has its minimum.

    Args:
        positions: (N, 3) Å; where the search ended, if it did not converge.
        hessian: (3N, 3N) eV/Å² there, of the model; None if it did not converge.
    """

    __pydantic_config__ = _ARRAYS

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

    __pydantic_config__ = _ARRAYS

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
    """

    __pydantic_config__ = _ARRAYS

    hessian: Floats | None
    core_seconds: float
    problem: str | None = None


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
