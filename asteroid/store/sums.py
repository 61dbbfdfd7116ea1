"""Labels of composite levels: weighted sums of the labels of their parts, which alone are in the store.

Works on tables of :data:`~asteroid.store.rows.LABEL_SCHEMA`; :class:`asteroid.store.Store` reads and selects them.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.levels import Part
from asteroid.store.records import FreeAtom
from asteroid.store.rows import LABEL_SCHEMA, core_seconds


def summed_labels(parts: Sequence[Part], labels: Sequence[pa.Table]) -> pa.Table:
    """Labels of the frames that have one at every part, oldest first.

    Energies, forces and dipoles are weighted sums, where all parts have them; costs are sums. The time is that of the
    last part.

    Args:
        labels: at each part, each frame once.
    """
    ids = labels[0]["frame_id"].combine_chunks()
    for table in labels[1:]:
        ids = ids.filter(pc.is_in(ids, value_set=table["frame_id"].combine_chunks()))
    rows = [table.take(pc.index_in(ids, table["frame_id"].combine_chunks())) for table in labels]
    weights = [float(part.weight) for part in parts]
    columns: dict[str, Any] = {
        "frame_id": ids,
        "status": ["ok"] * len(ids),
        "energy": sum(w * np.asarray(table["energy"].to_numpy()) for w, table in zip(weights, rows, strict=True)),
        "forces": _summed_vectors(weights, [table["forces"] for table in rows]),
        "dipole": _summed_vectors(weights, [table["dipole"] for table in rows]),
        "rung": ["default"] * len(ids),
        "rungs": [["default"]] * len(ids),
        "wall_seconds": sum(np.asarray(table["wall_seconds"].to_numpy()) for table in rows),
        "cpu_seconds": sum(core_seconds(table) for table in rows),
        "cores": [1] * len(ids),
        "peak_memory": np.max([table["peak_memory"].to_numpy() for table in rows], axis=0),
        "time": np.max([table["time"].cast(pa.int64()).to_numpy() for table in rows], axis=0),
    }
    for name in ("program", "version", "settings", "host"):
        each = zip(*(table[name].to_pylist() for table in rows), strict=True)
        columns[name] = [" + ".join(dict.fromkeys(values)) for values in each]
    return _table(columns, len(ids)).sort_by("time")


def summed_attempts(
    parts: Sequence[Part], attempts: Sequence[pa.Table], labels: Sequence[pa.Table], selected: Collection[str]
) -> pa.Table:
    """One row for each label, and for each selected frame whose label failed or was rejected at a part.

    Args:
        attempts: at each part, oldest first.
        labels: at each part, each frame once.
        selected: frames selected at the composite level.
    """
    lost: dict[str, dict[str, Any]] = {}
    seconds: defaultdict[str, float] = defaultdict(float)
    chosen = pa.array(sorted(selected), pa.string())
    for part, table, there in zip(parts, attempts, labels, strict=True):
        table = table.filter(pc.is_in(table["frame_id"], value_set=chosen))
        for frame_id, spent in zip(table["frame_id"].to_pylist(), core_seconds(table).tolist(), strict=True):
            seconds[frame_id] += spent
        failed = table.filter(pc.invert(pc.is_in(table["frame_id"], value_set=there["frame_id"].combine_chunks())))
        failed = failed.filter(pc.not_equal(failed["status"], "ok"))
        for row in failed.select(["frame_id", "status", "reason", "time", *_WHO, "peak_memory"]).to_pylist():
            lost[row["frame_id"]] = {**row, "reason": f"{part.level}: {row['reason']}"}
    rows = [
        {**row, "rung": "default", "rungs": ["default"], "cores": 1, "wall_seconds": 0.0, "cpu_seconds": seconds[i]}
        for i, row in lost.items()
    ]
    failures = pa.Table.from_pylist(rows, schema=LABEL_SCHEMA)
    return pa.concat_tables([summed_labels(parts, labels), failures]).sort_by("time")


def summed_atoms(parts: Sequence[Part], atoms: Sequence[Mapping[str, FreeAtom]]) -> dict[str, FreeAtom]:
    """The free atoms that all parts have, by element.

    Args:
        atoms: at each part, by element.
    """
    found = {}
    for element in sorted(set.intersection(*(set(there) for there in atoms))):
        each = [there[element] for there in atoms]
        known = [float(p.weight) * a.energy for p, a in zip(parts, each, strict=True) if a.energy is not None]
        found[element] = replace(
            each[0],
            energy=sum(known) if len(known) == len(each) else None,
            reason=next((atom.reason for atom in each if atom.energy is None), None),
            cpu_seconds=sum(atom.cpu_seconds for atom in each),
            wall_seconds=sum(atom.wall_seconds for atom in each),
        )
    return found


_WHO = ("program", "version", "settings", "host")


def _summed_vectors(weights: Sequence[float], columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    """Weighted sums of lists of numbers, null where one of them is."""
    there = np.all([column.is_valid().to_numpy() for column in columns], axis=0)
    if not there.any():
        return pa.nulls(len(there), pa.list_(pa.float64()))
    lists = [column.filter(pa.array(there)).combine_chunks() for column in columns]
    values = sum(w * np.asarray(one.flatten().to_numpy()) for w, one in zip(weights, lists, strict=True))
    lengths = pc.list_value_length(lists[0]).to_numpy()
    summed = pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(lengths)), pa.int32()), pa.array(values))
    return summed.take(pa.array(np.cumsum(there) - 1, mask=~there))


def _table(columns: dict[str, Any], rows: int) -> pa.Table:
    arrays = []
    for field in LABEL_SCHEMA:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
        elif field.name == "time":
            arrays.append(pa.array(values, pa.int64()).cast(field.type))
        else:
            arrays.append(values if isinstance(values, pa.Array) else pa.array(values, field.type))
    return pa.table(arrays, schema=LABEL_SCHEMA)
