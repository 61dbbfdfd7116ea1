"""Arrow schemas of the tables of the store, with units, and conversion of frames and attempts to tables and back.

Samplers make :class:`~asteroid.configuration.Frame`, labellers make :class:`Attempt`.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from asteroid import notebook
from asteroid.configuration import Configuration, Frame, Origin

Status = Literal["ok", "failed", "rejected"]
"""``failed``: no result. ``rejected``: there is a result, but it failed a check."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Attempt:
    """One try to label one frame at one level, successful or not.

    Args:
        energy: eV, total; None without a result.
        forces: (N, 3) eV/Å, −dE/dR; None for an energy-only label.
        dipole: (3,) e·Å; None where it would cost extra.
        reason: why it failed or was rejected.
        spin_square: ⟨S²⟩ in ħ², of an unrestricted reference; None for a restricted one.
        retry_steps: in the order tried; the last gave the result, if there is one.
        check_error: eV/Å, largest difference of the forces from those of a second, plainer computation; None where
            there was none.
        wall_seconds, cpu_seconds: of this attempt alone.
        peak_memory: MiB, of the process that computed it, so far.
        settings: hash of everything numerical that the level's name does not say.
        time: end of the attempt; among the attempts at one frame it also names the attempt.
        withdraws: of a rejected attempt: times of the attempts at the frame that it withdraws. None: all that are in
            the store when it is written; in ledgers of version 0.1, all older ones by their time.
    """

    frame_id: str
    status: Status
    energy: float | None = None
    forces: npt.NDArray[np.float64] | None = None
    dipole: npt.NDArray[np.float64] | None = None
    reason: str | None = None
    spin_square: float | None = None
    retry_steps: tuple[str, ...] = ("default",)
    check_error: float | None = None
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    cores: int = 1
    peak_memory: float = 0.0
    program: str = ""
    version: str = ""
    settings: str = ""
    host: str = ""
    time: dt.datetime
    withdraws: tuple[dt.datetime, ...] | None = None

    def __post_init__(self) -> None:
        if self.status == "ok" and self.energy is None:
            raise ValueError("an accepted label has an energy")
        if self.forces is not None and self.energy is None:
            raise ValueError("forces come with their energy")
        if self.status != "ok" and not self.reason:
            raise ValueError(f"a {self.status} attempt has a reason")
        if not self.retry_steps:
            raise ValueError("an attempt has at least one retry step")

    @property
    def retry_step(self) -> str:
        """The last retry step that was tried."""
        return self.retry_steps[-1]

    @property
    def core_seconds(self) -> float:
        """Cost of the attempt, see :func:`core_seconds`."""
        return self.cpu_seconds or self.cores * self.wall_seconds

    def _repr_html_(self) -> str:
        norms = None if self.forces is None else np.linalg.norm(self.forces, axis=1)
        return notebook.fields(
            f"label: {self.status}",
            {
                "reason": self.reason,
                "energy": None if self.energy is None else f"{self.energy:.6f} eV",
                "forces": None if norms is None else f"of {len(norms)} atoms, up to {norms.max():.3f} eV/Å",
                "dipole": None if self.dipole is None else f"{np.linalg.norm(self.dipole):.3f} e·Å",
                "cost": f"{self.core_seconds:.3g} core-seconds",
                "program": f"{self.program} {self.version}".strip(),
            },
        )


def core_seconds(attempts: pa.Table) -> npt.NDArray[np.float64]:
    """(M,) s, cost of each attempt: CPU time, which does not depend on other processes.

    Cores times wall time where the CPU time is unknown: for killed workers and imported labels.

    Args:
        attempts: with :data:`COST_COLUMNS`.
    """
    wall, cpu, cores = (np.asarray(attempts[name].to_numpy(), dtype=np.float64) for name in COST_COLUMNS)
    return np.where(cpu > 0, cpu, wall * cores)


COST_COLUMNS = ("wall_seconds", "cpu_seconds", "cores")


def _schema(columns: Sequence[tuple[str, pa.DataType, str]]) -> pa.Schema:
    """Columns as (name, type, unit or meaning); the third becomes the field's ``unit`` metadata."""
    return pa.schema([pa.field(name, kind, metadata={"unit": unit}) for name, kind, unit in columns])


_FLOATS = pa.list_(pa.float64())

FRAME_SCHEMA = _schema(
    [
        ("frame_id", pa.string(), "hash"),
        ("numbers", pa.list_(pa.int16()), "atomic number, (N,)"),
        ("positions", _FLOATS, "Å, (N*3,) x y z of atom after atom"),
        ("charge", pa.int32(), "e"),
        ("multiplicity", pa.int32(), "2S+1"),
        ("origin", pa.string(), "sampler"),
        ("origin_parameters", pa.string(), "JSON"),
        ("seed", pa.int64(), ""),
        ("parent", pa.string(), "frame_id"),
        ("temperature", pa.float64(), "K"),
        ("group", pa.string(), "frames that may be near copies"),
        ("split", pa.string(), "train, valid, test or certificate"),
    ]
)

LABEL_SCHEMA = _schema(
    [
        ("frame_id", pa.string(), "hash"),
        ("status", pa.string(), "ok, failed or rejected"),
        ("energy", pa.float64(), "eV, total"),
        ("forces", _FLOATS, "eV/Å, (N*3,) -dE/dR, x y z of atom after atom"),
        ("dipole", _FLOATS, "e·Å, (3,)"),
        ("reason", pa.string(), ""),
        ("spin_square", pa.float64(), "ħ², <S^2> of an unrestricted reference"),
        ("rung", pa.string(), "last retry step"),
        ("rungs", pa.list_(pa.string()), "retry steps, in the order tried"),
        ("check_error", pa.float64(), "eV/Å, largest force difference from a second, plainer computation"),
        ("wall_seconds", pa.float64(), "s"),
        ("cpu_seconds", pa.float64(), "s"),
        ("cores", pa.int32(), ""),
        ("peak_memory", pa.float64(), "MiB"),
        ("program", pa.string(), ""),
        ("version", pa.string(), ""),
        ("settings", pa.string(), "hash"),
        ("host", pa.string(), ""),
        ("time", pa.timestamp("us", tz="UTC"), "end of the attempt"),
        (
            "withdraws",
            pa.list_(pa.timestamp("us", tz="UTC")),
            "times of withdrawn attempts at this frame",
        ),
    ]
)

# The columns "rung" and "rungs" hold Attempt.retry_step and Attempt.retry_steps. They keep these names, because stored
# tables and the output of `--json` have them.

LATER_COLUMNS = frozenset({"withdraws", "sequence"})
"""Columns missing in stores of version 0.1; they are read as null."""

COMPANION = {"forces": "energy"}
"""A long column and a short one that is null wherever the long one is; often they are null in the same rows."""

SELECTION_SCHEMA = _schema(
    [
        ("frame_id", pa.string(), "hash"),
        ("round", pa.int32(), ""),
        ("criterion", pa.string(), "why this frame was picked"),
        ("time", pa.timestamp("us", tz="UTC"), ""),
        ("sequence", pa.int32(), "order of selections"),
    ]
)


def frames_to_table(frames: Sequence[Frame]) -> pa.Table:
    """Frames as rows of :data:`FRAME_SCHEMA`."""
    rows = [
        {
            "frame_id": f.frame_id,
            "numbers": f.configuration.numbers,
            "positions": f.configuration.positions.ravel(),
            "charge": f.configuration.charge,
            "multiplicity": f.configuration.multiplicity,
            "origin": f.origin.method,
            "origin_parameters": json.dumps(dict(f.origin.parameters), sort_keys=True),
            "seed": f.origin.seed,
            "parent": f.origin.parent,
            "temperature": f.origin.temperature,
            "group": f.group,
            "split": f.split,
        }
        for f in frames
    ]
    return pa.Table.from_pylist(rows, schema=FRAME_SCHEMA)


def table_to_frames(table: pa.Table) -> list[Frame]:
    """The inverse of :func:`frames_to_table`."""
    return [
        Frame(
            Configuration(
                np.array(row["numbers"]),
                np.array(row["positions"]).reshape(-1, 3),
                row["charge"],
                row["multiplicity"],
            ),
            Origin(row["origin"], json.loads(row["origin_parameters"]), row["seed"], row["parent"], row["temperature"]),
            row["group"],
            row["split"],
        )
        for row in table.select(FRAME_SCHEMA.names).to_pylist()
    ]


_ATTEMPT_FIELDS = tuple(f.name for f in fields(Attempt))


def attempts_to_table(attempts: Sequence[Attempt]) -> pa.Table:
    """Attempts as rows of :data:`LABEL_SCHEMA`."""
    rows = []
    for attempt in attempts:
        row = {name: getattr(attempt, name) for name in _ATTEMPT_FIELDS}
        row["rung"], row["rungs"] = attempt.retry_step, row.pop("retry_steps")
        row["forces"] = None if attempt.forces is None else np.asarray(attempt.forces, dtype=np.float64).ravel()
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=LABEL_SCHEMA)


def table_to_attempts(table: pa.Table) -> list[Attempt]:
    """The inverse of :func:`attempts_to_table`."""
    attempts = []
    columns = [name for name in LABEL_SCHEMA.names if name not in ("forces", "dipole", "rung")]
    for batch in table.select(LABEL_SCHEMA.names).to_batches():
        forces, dipoles = _arrays(batch["forces"]), _arrays(batch["dipole"])
        for row, force, dipole in zip(batch.select(columns).to_pylist(), forces, dipoles, strict=True):
            row["retry_steps"] = tuple(row.pop("rungs"))
            row["withdraws"] = None if row["withdraws"] is None else tuple(row["withdraws"])
            row["forces"] = None if force is None else force.reshape(-1, 3)
            attempts.append(Attempt(dipole=dipole, **row))
    return attempts


def _arrays(lists: pa.ListArray) -> list[npt.NDArray[np.float64] | None]:
    """Lists of numbers as arrays, without making Python numbers."""
    offsets = lists.offsets.to_numpy()
    values = np.array(lists.values[offsets[0] : offsets[-1]])
    offsets = offsets - offsets[0]
    valid = lists.is_valid().to_pylist()
    return [values[offsets[i] : offsets[i + 1]] if valid[i] else None for i in range(len(lists))]
