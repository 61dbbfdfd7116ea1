"""What the ledger of attempts says: which of them are the labels, what they cost, what the rungs gave.

Works on tables of :data:`~asteroid.records.LABEL_SCHEMA`, oldest attempt first, as :mod:`asteroid.store` reads them,
column by column: a million attempts take seconds.
"""

from collections import defaultdict
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.records import Status

COLUMNS = ("frame_id", "status", "rungs", "rung", "wall_seconds", "cores", "peak_memory", "time")
"""What :func:`summarise` needs, beside ``has_forces``."""

STATUSES: tuple[Status, ...] = get_args(Status)

Rows = npt.NDArray[np.int64]


def first_rows(ids: pa.ChunkedArray) -> Rows:
    """The row in which each value comes first, in order."""
    codes, count = _codes(ids)
    return _first(codes, np.arange(len(codes)), count)


def accepted_rows(table: pa.Table) -> Rows:
    """The rows that are the label of their frame, oldest first.

    That is a frame's first ``ok`` attempt after its last ``rejected`` one, and among these the first with forces, if
    any has them.

    Args:
        table: attempts with ``frame_id``, ``status`` and ``has_forces``, oldest first.
    """
    codes, count = _codes(table["frame_id"])
    status, rows = table["status"], np.arange(table.num_rows)
    last_rejected = np.full(count, -1)
    rejected = rows[_equal(status, "rejected")]
    last_rejected[codes[rejected]] = rejected  # of several values for one place, the last stays
    valid = rows[_equal(status, "ok") & (rows > last_rejected[codes])]
    with_forces = valid[table["has_forces"].to_numpy()[valid]]
    chosen = _first(codes, valid, count)
    better = _first(codes, with_forces, count)
    label = np.where(better >= 0, better, chosen)
    return np.sort(label[label >= 0])


def summarise(table: pa.Table) -> dict[str, Any]:
    """Frames by outcome, cost by outcome, and the yield of each rung of the retry ladder.

    A frame counts as ``ok`` when it has a label, and otherwise by its latest attempt.

    Args:
        table: attempts with :data:`COLUMNS` and ``has_forces``, oldest first.
    """
    codes, count = _codes(table["frame_id"])
    labels = accepted_rows(table)
    latest = np.zeros(count, dtype=np.int64)
    latest[codes] = np.arange(table.num_rows)
    unlabelled = np.ones(count, dtype=bool)
    unlabelled[codes[labels]] = False
    outcomes = table["status"].take(pa.array(latest[unlabelled]))
    seconds = table["wall_seconds"].to_numpy() * table["cores"].to_numpy()
    hours = {status: float(seconds[_equal(table["status"], status)].sum()) / 3600 for status in STATUSES}
    return {
        "ok": len(labels),
        "failed": int(_equal(outcomes, "failed").sum()),
        "rejected": int(_equal(outcomes, "rejected").sum()),
        "energy_only": int((~table["has_forces"].to_numpy()[labels]).sum()),
        "core_hours": sum(hours.values()),
        "core_hours_by_status": hours,
        "peak_memory": pc.max(table["peak_memory"]).as_py() or 0.0,
        "rungs": _yields(table),
    }


def _yields(table: pa.Table) -> list[dict[str, Any]]:
    """Per rung, in the order of the ladder: attempts that tried it, and those to which it gave an accepted number."""
    # Few distinct ladders: they are counted as text. Ledgers of earlier versions know the last rung alone.
    ladders = pc.coalesce(pc.binary_join(table["rungs"], "\n"), table["rung"])
    counted = pa.table({"ladder": ladders, "status": table["status"]}).group_by(["ladder", "status"])
    tried: dict[str, int] = defaultdict(int)
    ok: dict[str, int] = defaultdict(int)
    place: dict[str, int] = defaultdict(int)
    for row in counted.aggregate([([], "count_all")]).to_pylist():
        rungs = row["ladder"].split("\n")
        for index, rung in enumerate(rungs):
            tried[rung] += row["count_all"]
            # Who skips a rung meets the later ones early; who skips none says where they are.
            place[rung] = max(place[rung], index)
        if row["status"] == "ok":
            ok[rungs[-1]] += row["count_all"]
    return [{"rung": rung, "tried": tried[rung], "ok": ok[rung]} for rung in sorted(tried, key=lambda r: (place[r], r))]


def _codes(ids: pa.ChunkedArray) -> tuple[Rows, int]:
    """Each value as a number from 0 on, and how many there are; numbers rise in the order of first appearance."""
    encoded = pc.dictionary_encode(ids.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def _first(codes: Rows, rows: Rows, count: int) -> Rows:
    """For each code the first of these rows that has it, -1 for none."""
    first = np.full(count, -1)
    first[codes[rows[::-1]]] = rows[::-1]  # of several values for one place, the last stays
    return first


def _equal(column: pa.ChunkedArray, value: str) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.equal(column, value).to_numpy(), dtype=bool)
