"""Reading the ledger of attempts: which attempt is the label of a frame, costs, and the yield of each retry step.

Works on tables of :data:`~asteroid.store.rows.LABEL_SCHEMA`, oldest attempt first, as :mod:`asteroid.store` reads them,
column by column: a million attempts take seconds. Times are by the hosts' clocks, which may differ, so a rejection
names the attempts that it withdraws; only in ledgers of version 0.1 it withdraws all older ones.
"""

import datetime as dt
import re
from collections import Counter, defaultdict
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from asteroid.store.rows import COST_COLUMNS, Status, core_seconds

COLUMNS = ("frame_id", "status", "rungs", "rung", *COST_COLUMNS, "peak_memory", "time", "withdraws")
"""Columns that :func:`summarise` needs, besides ``has_forces``."""

STATUSES: tuple[Status, ...] = get_args(Status)

Rows = npt.NDArray[np.int64]


def first_rows(ids: pa.ChunkedArray) -> Rows:
    """The first row of each value, in order."""
    codes, count = _codes(ids)
    return _first(codes, np.arange(len(codes)), count)


def accepted_rows(table: pa.Table) -> Rows:
    """Rows of the labels, oldest first.

    The label of a frame is its first ``ok`` attempt with forces that no ``rejected`` attempt withdraws, or without one
    the first without forces.

    Args:
        table: attempts with ``frame_id``, ``status``, ``time``, ``withdraws`` and ``has_forces``, oldest first.
    """
    codes, count = _codes(table["frame_id"])
    status, rows = table["status"], np.arange(table.num_rows)
    rejected = _equal(status, "rejected")
    # A rejection that names no attempts withdraws all earlier ones.
    older = rows[rejected & ~table["withdraws"].is_valid().to_numpy()]
    last_rejected = np.full(count, -1)
    last_rejected[codes[older]] = older  # of several values for one place, the last stays
    valid = rows[_equal(status, "ok") & (rows > last_rejected[codes])]
    valid = valid[~_withdrawn(table, codes, valid, rows[rejected])]
    with_forces = valid[table["has_forces"].to_numpy()[valid]]
    chosen = _first(codes, valid, count)
    better = _first(codes, with_forces, count)
    label = np.where(better >= 0, better, chosen)
    return np.sort(label[label >= 0])


def _withdrawn(table: pa.Table, codes: Rows, valid: Rows, rejected: Rows) -> npt.NDArray[np.bool_]:
    """Which of the valid rows are withdrawn by a rejection, which names attempts by frame and time."""
    named = table["withdraws"].take(pa.array(rejected)).combine_chunks()
    parents = rejected[pc.list_parent_indices(named).to_numpy()]
    if not len(parents):
        return np.zeros(len(valid), dtype=bool)
    by_frame = np.dtype([("frame", np.int64), ("time", np.int64)])
    targets, found = np.empty(len(parents), by_frame), np.empty(len(valid), by_frame)
    targets["frame"], targets["time"] = codes[parents], pc.list_flatten(named).cast(pa.int64()).to_numpy()
    found["frame"], found["time"] = codes[valid], table["time"].cast(pa.int64()).to_numpy()[valid]
    return np.isin(found, targets)


RECENT = dt.timedelta(minutes=10)
"""Period before now over which :func:`summarise` counts attempts a minute."""


def summarise(table: pa.Table) -> dict[str, Any]:
    """Frames by outcome, cost by outcome, attempts a minute of late, and the yield of each retry step.

    A frame without a label counts by the status of its latest attempt.

    Args:
        table: attempts with :data:`COLUMNS` and ``has_forces``, oldest first.
    """
    codes, count = _codes(table["frame_id"])
    labels = accepted_rows(table)
    without = np.flatnonzero(~_equal(table["status"], "ok"))
    latest = np.zeros(count, dtype=np.int64)
    latest[codes[without]] = without
    unlabelled = np.ones(count, dtype=bool)
    unlabelled[codes[labels]] = False
    outcomes = table["status"].take(pa.array(latest[unlabelled]))
    seconds = core_seconds(table)
    hours = {status: float(seconds[_equal(table["status"], status)].sum()) / 3600 for status in STATUSES}
    recent = pc.sum(pc.greater(table["time"], pa.scalar(dt.datetime.now(dt.UTC) - RECENT, table["time"].type))).as_py()
    return {
        "ok": len(labels),
        "failed": int(_equal(outcomes, "failed").sum()),
        "rejected": int(_equal(outcomes, "rejected").sum()),
        "energy_only": int((~table["has_forces"].to_numpy()[labels]).sum()),
        "core_hours": sum(hours.values()),
        "core_hours_by_status": hours,
        "per_minute": (recent or 0) / (RECENT.total_seconds() / 60),
        "peak_memory": pc.max(table["peak_memory"]).as_py() or 0.0,
        "rungs": _yields(table),
    }


def count_reasons(table: pa.Table) -> Counter[str]:
    """Why attempts failed or were rejected, without numbers, which differ between labels that fail alike.

    Args:
        table: attempts with ``reason``.
    """
    return Counter(
        re.sub(r"[-+]?\d[\d.]*(e[-+]?\d+)?", "…", found) for found in table["reason"].drop_null().to_pylist()
    )


def _yields(table: pa.Table) -> list[dict[str, Any]]:
    """Per retry step, in the order tried: attempts that reached it, and accepted labels that it gave."""
    # There are few distinct sequences of steps, so they are counted as text.
    sequences = pc.binary_join(table["rungs"], "\n")
    counted = pa.table({"steps": sequences, "status": table["status"]}).group_by(["steps", "status"])
    tried: dict[str, int] = defaultdict(int)
    ok: dict[str, int] = defaultdict(int)
    place: dict[str, int] = defaultdict(int)
    for row in counted.aggregate([([], "count_all")]).to_pylist():
        steps = row["steps"].split("\n")
        for index, step in enumerate(steps):
            tried[step] += row["count_all"]
            # An attempt that skips a step reaches the later ones early, so the largest index is a step's place.
            place[step] = max(place[step], index)
        if row["status"] == "ok":
            ok[steps[-1]] += row["count_all"]
    order = sorted(tried, key=lambda step: (place[step], step))
    return [{"rung": step, "tried": tried[step], "ok": ok[step]} for step in order]


def _codes(ids: pa.ChunkedArray) -> tuple[Rows, int]:
    """Number of each value, in order of first appearance from 0, and the number of distinct values."""
    encoded = pc.dictionary_encode(ids.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def _first(codes: Rows, rows: Rows, count: int) -> Rows:
    """For each code the first of these rows that has it, -1 without one."""
    first = np.full(count, -1)
    first[codes[rows[::-1]]] = rows[::-1]  # of several values for one place, the last stays
    return first


def _equal(column: pa.ChunkedArray, value: str) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.equal(column, value).to_numpy(), dtype=bool)
