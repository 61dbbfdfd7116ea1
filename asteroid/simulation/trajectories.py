"""Replicas in Parquet files, one row per frame.

:mod:`asteroid.simulation.run` makes the replicas. :class:`StoredTrajectories` stores finished ones as Parquet and the
running one as a checkpoint, so that a killed run resumes.
"""

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from asteroid.simulation.replicas import Replica
from asteroid.store import Store, paths
from asteroid.store.checkpoints import StoredCheckpoints

_UNITS = {
    "replica": "",
    "time": "fs",
    "positions": "Å, x y z of one atom after another",
    "potential_energy": "eV",
    "total_energy": "eV",
    "temperature": "K, from the kinetic energy",
}
_SETTINGS = ("ensemble", "temperature", "timestep", "seed", "start", "reason", "survived", "requested")
_SETTINGS_KEY = b"asteroid.replicas"


def to_parquet(replicas: Sequence[Replica], numbers: Sequence[int]) -> bytes:
    """Replicas of one molecule as a Parquet file; settings and reasons are in the schema's metadata.

    Args:
        numbers: (N,) atomic numbers.
    """
    columns: dict[str, Any] = {
        "replica": pa.array(np.repeat(np.arange(len(replicas)), [len(r.times) for r in replicas]), pa.int32()),
        "time": np.concatenate([r.times for r in replicas]),
        "positions": pa.array([frame.ravel() for r in replicas for frame in r.positions], pa.list_(pa.float64())),
        "potential_energy": np.concatenate([r.potential_energies for r in replicas]),
        "total_energy": np.concatenate([r.total_energies for r in replicas]),
        "temperature": np.concatenate([r.temperatures for r in replicas]),
    }
    content = {
        "numbers": [int(z) for z in numbers],
        "replicas": [{key: getattr(r, key) for key in _SETTINGS} for r in replicas],
    }
    table = pa.table(columns)
    fields = [field.with_metadata({"unit": _UNITS[field.name]}) for field in table.schema]
    metadata = {_SETTINGS_KEY: json.dumps(content, ensure_ascii=False).encode()}
    buffer = io.BytesIO()
    pq.write_table(table.cast(pa.schema(fields, metadata)), buffer, compression="zstd")
    return buffer.getvalue()


def from_parquet(content: bytes) -> list[Replica]:
    """The inverse of :func:`to_parquet`."""
    table = pq.read_table(io.BytesIO(content))
    header = json.loads(table.schema.metadata[_SETTINGS_KEY])
    shape = (-1, len(header["numbers"]), 3)
    replica = table["replica"].to_numpy()
    values = {name: table[name].to_numpy() for name in _UNITS if name not in ("replica", "positions")}
    positions = np.array(table["positions"].combine_chunks().flatten()).reshape(shape)
    found = []
    for index, settings in enumerate(header["replicas"]):
        rows = replica == index
        found.append(
            Replica(
                times=values["time"][rows],
                positions=positions[rows],
                potential_energies=values["potential_energy"][rows],
                total_energies=values["total_energy"][rows],
                temperatures=values["temperature"][rows],
                **settings,
            )
        )
    return found


class StoredTrajectories:
    """Trajectories of one model in a folder of the store.

    Args:
        folder: of the finished ones, ``NAME.parquet`` each.
        numbers: (N,) atomic numbers of the molecule.
    """

    def __init__(self, store: Store, folder: str, numbers: Sequence[int]) -> None:
        self._store, self._folder, self._numbers = store, folder, numbers

    def load(self, name: str) -> list[Replica] | None:
        """Finished trajectories; None without them."""
        path = self._path(name)
        return from_parquet(self._store.read(path)) if self._store.exists(path) else None

    def save(self, name: str, replicas: Sequence[Replica]) -> None:
        """Store finished trajectories and remove the checkpoints of their simulation."""
        self._store.write(self._path(name), to_parquet(replicas, self._numbers))
        self.checkpoints(name).clear()

    def checkpoints(self, name: str) -> StoredCheckpoints:
        """Checkpoints for :func:`~asteroid.simulation.run.simulate`."""
        return StoredCheckpoints(self._store, paths.checkpoints(f"{self._folder}/{name}"))

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}.parquet"
