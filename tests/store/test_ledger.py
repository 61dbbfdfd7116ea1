"""What attempts amount to, against the same rules followed one attempt after another."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid.store.ledger import accepted_rows, first_rows, summarise

attempts = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["ok", "ok", "failed", "rejected"]), st.booleans()), max_size=12
)


def table(rows: list[tuple[str, str, bool]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    count = len(rows)
    return pa.table(
        {
            "frame_id": pa.array(columns[0], pa.string()),
            "status": pa.array(columns[1], pa.string()),
            "has_forces": pa.array(columns[2], pa.bool_()),
            "rungs": pa.array([["default"]] * count, pa.list_(pa.string())),
            "rung": pa.array(["default"] * count, pa.string()),
            "wall_seconds": pa.array([1.0] * count),
            "cpu_seconds": pa.array([1.0] * count),
            "cores": pa.array([1] * count, pa.int32()),
            "peak_memory": pa.array([1.0] * count),
            "time": pa.array(range(count), pa.timestamp("us", tz="UTC")),
            "withdraws": pa.nulls(count, pa.list_(pa.timestamp("us", tz="UTC"))),
        }
    )


def labels_one_by_one(rows: list[tuple[str, str, bool]]) -> dict[str, int]:
    accepted: dict[str, int] = {}
    for row, (frame, status, has_forces) in enumerate(rows):
        if status == "rejected":
            accepted.pop(frame, None)
        elif status == "ok" and (frame not in accepted or (has_forces and not rows[accepted[frame]][2])):
            accepted[frame] = row
    return accepted


@settings(deadline=None)
@given(attempts)
def test_labels_are_those_that_one_finds_going_through_the_attempts(rows: list[tuple[str, str, bool]]) -> None:
    assert accepted_rows(table(rows)).tolist() == sorted(labels_one_by_one(rows).values())


@settings(deadline=None)
@given(attempts)
def test_each_frame_is_counted_once_by_its_label_or_else_by_its_latest_attempt(
    rows: list[tuple[str, str, bool]],
) -> None:
    labels = labels_one_by_one(rows)
    latest = {frame: status for frame, status, _ in rows}
    expected = ["ok" if frame in labels else status for frame, status in latest.items()]
    summary = summarise(table(rows))
    assert {status: summary[status] for status in ("ok", "failed", "rejected")} == {
        status: expected.count(status) for status in ("ok", "failed", "rejected")
    }
    assert summary["energy_only"] == sum(not rows[row][2] for row in labels.values())


named_attempts = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["ok", "rejected"]), st.just(True), st.sets(st.integers(0, 8))),
    max_size=9,
)


@settings(deadline=None)
@given(named_attempts)
def test_a_rejection_withdraws_the_attempts_that_it_names_and_no_other(
    attempts: list[tuple[str, str, bool, set[int]]],
) -> None:
    made = table([attempt[:3] for attempt in attempts])
    named = [sorted(attempt[3]) if attempt[1] == "rejected" else None for attempt in attempts]
    place = made.schema.get_field_index("withdraws")
    made = made.set_column(place, "withdraws", pa.array(named, made.schema.field(place).type))
    expected: dict[str, int] = {}
    for row, (frame, status, _, _) in enumerate(attempts):
        withdrawn = any(f == frame and s == "rejected" and row in which for f, s, _, which in attempts)
        if status == "ok" and not withdrawn:
            expected.setdefault(frame, row)
    assert accepted_rows(made).tolist() == sorted(expected.values())


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd")))
def test_the_first_row_of_each_value_comes_in_order(values: list[str]) -> None:
    column = pa.chunked_array([values[:3], values[3:]], pa.string())
    assert first_rows(column).tolist() == [values.index(value) for value in dict.fromkeys(values)]


def test_retry_steps_are_listed_in_the_order_tried_even_where_some_are_skipped() -> None:
    sequences = [["newton"], ["default", "damped", "newton"], ["damped", "newton"], ["default"]]
    rows = table([("a", "failed", False), ("b", "ok", True), ("c", "ok", True), ("d", "ok", True)])
    rows = rows.set_column(rows.schema.get_field_index("rungs"), "rungs", pa.array(sequences, pa.list_(pa.string())))
    assert summarise(rows)["rungs"] == [
        {"rung": "default", "tried": 2, "ok": 1},
        {"rung": "damped", "tried": 2, "ok": 0},
        {"rung": "newton", "tried": 3, "ok": 2},
    ]
