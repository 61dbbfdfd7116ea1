"""Every table that the command line prints fits 80 characters, and no figure in it is cut."""

import os
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from asteroid.cli import ledger, plan
from asteroid.cli.common import make_table
from asteroid.levels import LevelOfTheory
from asteroid.plan import Quote
from asteroid.stages import Audit
from asteroid.store.quote_records import Line

MOLECULE = "a-molecule-with-a-name-that-is-as-long-as-names-may-be-" + 9 * "x"
LEVEL = "wb97m-d3bj/def2-tzvppd"


def rendered(table: Table, width: int = 80) -> list[str]:
    console = Console(width=width, soft_wrap=True)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in capture.get()
    return lines


def words(lines: list[str]) -> set[str]:
    return {word for line in lines for word in line.split()}


def counts(**changes: Any) -> dict[str, Any]:
    hours = {"ok": 12345.6, "failed": 0.01234, "rejected": 1.5}
    row = {"molecule": MOLECULE, "level": LEVEL, "frames": 1_234_567, "ok": 1_000_001, "energy_only": 200_002}
    row |= {"to_do": 98_765, "per_minute": 1234.0}
    return row | {
        "failed": 30_003, "rejected": 4004, "core_hours_by_status": hours, "peak_memory": 123_456.0, **changes
    }  # fmt: skip


def test_status_fits_and_shows_counts_with_their_core_hours() -> None:
    lines = rendered(ledger._counts([counts()], "Labels in ./store"))
    figures = {"98765", "1234567", "1000001", "200002", "30003", "4004", "123456", "12345.6", "0.0123", "1.5000"}
    assert figures <= words(lines)
    none = {"ok": 1.0, "failed": 0.0, "rejected": 0.0}
    few = rendered(ledger._counts([counts(energy_only=0, failed=0, rejected=0, core_hours_by_status=none)], "Labels"))
    assert not {"failed", "rejected", "energy"} & words(few), "what is always 0 takes no column"


def test_status_says_retry_steps_and_reasons_whole() -> None:
    rungs = [{"rung": "default", "tried": 1_234_567, "ok": 1_000_000}, {"rung": "second-order", "tried": 99, "ok": 33}]
    rows = [counts(rungs=rungs, reasons=[{"reason": "SCF not converged " * 9, "attempts": 12345}])]
    assert {"1234567", "81.0", "33.3"} <= words(rendered(ledger._retry_steps(rows)))
    assert "12345" in words(rendered(ledger._why(rows)))


def test_an_audit_fits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger.out, "_width", 80)
    ledger._print_audits([Audit(MOLECULE, LevelOfTheory.parse(LEVEL), 1_234_567, [], 1, [])])
    said = capsys.readouterr().out
    *lines, foreign = said.splitlines()
    assert max(map(len, lines)) <= 80
    assert {"1234567", "recomputed", "withdrawn"} <= words(lines)
    assert foreign.endswith("1 label of other programs, not recomputed")


def test_a_plan_fits() -> None:
    line = Line(
        molecule=MOLECULE, stage="certificate labels", detail=LEVEL, count=123_456, unit="labels",
        core_seconds=3600 * 12345.678, least_core_seconds=0.0, wall_seconds=3600 * 40.5,
        spent_core_seconds=3600 * 1234.5,
        memory=123_456.0, processes=16, disk=12345.6, source="123 s per label (200 computed now)",
    )  # fmt: skip
    quote = Quote(lines=(line,), workers=16, overhead=12.0, growth=())
    found = words(rendered(plan._table(quote, MOLECULE)))
    assert {"123456", "12345.678", "120.6", "12345.6", "1234.500"} <= found


@pytest.mark.parametrize("names", [("file",), ("frame", "formula", "status")])
def test_tables_of_files_and_labels_fit(names: tuple[str, ...]) -> None:
    files = ("frames", "new frames", "new labels", "energy only", "known", "copies", "rejected", "left out")
    figures = files if names == ("file",) else ("energy eV", "largest force eV/Å", "core-seconds")
    table = make_table("a title", names, figures)
    table.add_row(*["/a/path/" + 60 * "x"] * len(names), *["1234567"] * len(figures))
    shown = " ".join(rendered(table)).split()
    assert shown.count("1234567") == len(figures)


def test_a_pipe_is_as_wide_as_columns_says() -> None:
    code = "from asteroid.cli.common import out; print(out.width)"
    widths = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | more
        ).stdout.strip()
        for more in ({"COLUMNS": "80"}, {"COLUMNS": ""})
    ]
    assert widths == ["80", "160"]
