"""``asteroid status`` and ``asteroid audit``: content and cost of the ledger of labels, and checks of the labels."""

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from asteroid.cli.common import JsonOption, StoreOption, make_table, out, print_json, progress_bar
from asteroid.errors import InputError, plural, suggest

if TYPE_CHECKING:
    from asteroid.levels import LevelOfTheory
    from asteroid.stages import Audit
    from asteroid.store import Store

WATCH_SECONDS = 5.0

MOST_REASONS = 5
"""Largest number of reasons per molecule and level, the most frequent first."""


def status(
    store: StoreOption = "./store",
    reasons: Annotated[bool, typer.Option("--reasons", help="Also show why labels failed or were rejected.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew every few seconds, with the work under way, until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Frames, labels (ok, failed, rejected) and their cost, per molecule and level.

    "per min" counts the labels of the last ten minutes. If labels needed retry steps, the yield of each step follows.
    """
    from asteroid.store import Store

    if watch and as_json:
        raise InputError("--watch: found with --json, which prints once; leave one of them out")
    opened = Store(store)
    if as_json:
        print_json(_rows(opened, reasons=reasons))
    elif watch:
        _watch(opened, reasons=reasons)
    else:
        out.print(_page(_rows(opened, reasons=reasons), store))


def audit(
    store: StoreOption = "./store",
    molecule: Annotated[str | None, typer.Option("--molecule", help="Only this molecule.")] = None,
    level: Annotated[str | None, typer.Option("--level", help="Only this level of theory.")] = None,
    sample: Annotated[int, typer.Option(min=0, help="Labels to recompute at each level, drawn at random.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the random sample.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, one thread each.")] = os.cpu_count() or 1,
    as_json: JsonOption = False,
) -> None:
    """Check the labels of a store for outliers, and recompute some of asteroid's own with finite differences.

    Imported labels are only checked for outliers. Outliers, and labels with wrong energy or forces, are withdrawn: they
    are rejected from then on and train no model. Exits with 1 when there are any.
    """
    from asteroid.stages import audit_labels
    from asteroid.store import Store

    opened = Store(store)
    audits = []
    for name, each in _chosen(opened, molecule, level):
        bar = progress_bar(1, f"{name} at {each}", quiet=as_json)
        with bar:
            audits.append(
                audit_labels(opened, name, each, sample=sample, seed=seed, workers=workers, on_progress=bar.show)
            )
    if as_json:
        print_json([_audit_row(audit) for audit in audits])
    elif audits:
        _print_audits(audits)
    else:
        out.print(f"{store}: no labels to check; run: asteroid run manifests/demo.yaml --store {store}")
    if any(audit.withdrawn for audit in audits):
        raise typer.Exit(1)


def _rows(store: "Store", *, reasons: bool) -> list[dict[str, Any]]:
    rows = store.status()
    if reasons:
        for row in rows:
            row["reasons"] = _reasons(store, row["molecule"], row["level"])
    return rows


def _page(rows: list[dict[str, Any]], store: str) -> RenderableType:
    """The tables of ``asteroid status``."""
    if not rows:
        return f"{store}: no molecules yet; run: asteroid run manifests/demo.yaml --store {store}"
    tables = [_counts(rows, f"Labels in {store}")]
    if any(step["rung"] != "default" for row in rows for step in row["rungs"]):
        tables.append(_retry_steps(rows))
    if any(row.get("reasons") for row in rows):
        tables.append(_why(rows))
    return Group(*tables)


def _watch(store: "Store", *, reasons: bool) -> None:
    """Show the tables, the cost of all labels and the work under way until Ctrl-C."""
    from asteroid.store.locks import held_locks

    while True:
        rows, held = _rows(store, reasons=reasons), Counter(held_locks(store))
        under_way = ", ".join(f"{name} × {count}" if count > 1 else name for name, count in held.items())
        out.clear()
        out.print(_page(rows, store.url))
        hours = _hours(sum(row["core_hours"] for row in rows))
        out.print(f"{time.strftime('%T')}: {hours} core-hours for labels; under way: {under_way or 'nothing'}")
        time.sleep(WATCH_SECONDS)


def _counts(rows: list[dict[str, Any]], title: str) -> Table:
    """Numbers of labels with their core-hours below; empty columns are left out."""
    shown = [name for name in ("ok", "energy_only", "failed", "rejected") if name == "ok" or any(r[name] for r in rows)]
    costs = [name for name in shown if name != "energy_only"]
    heads = [name.replace("_", " ") + (" core-h" if name in costs else "") for name in shown]
    busy = any(row["to_do"] for row in rows)
    table = make_table(
        title, ("molecule, level",), ("frames", *(["to do\nper min"] if busy else []), *heads, "peak MiB")
    )
    for row in rows:
        hours = row["core_hours_by_status"]
        table.add_row(
            f"{row['molecule']}\n{row['level']}",
            str(row["frames"]),
            *([f"{row['to_do']}\n{row['per_minute']:.3g}" if row["to_do"] else ""] if busy else []),
            *(f"{row[name]}" + (f"\n{_hours(hours[name])}" if name in costs else "") for name in shown),
            f"{row['peak_memory']:.0f}",
        )
    return table


def _hours(hours: float) -> str:
    """Core-hours, rounded.

    >>> _hours(0.0), _hours(0.00012), _hours(1234.5)
    ('0', '0.0001', '1234.5')
    """
    return "0" if not hours else f"{hours:.4f}" if hours < 10 else f"{hours:.1f}"


def _retry_steps(rows: list[dict[str, Any]]) -> Table:
    """Yield of each retry step, for levels that needed more than the first."""
    names, figures = ("molecule", "level", "retry step"), ("tried", "gave label", "yield")
    table = make_table("Retry steps", names, figures)
    for row in rows:
        if any(step["rung"] != "default" for step in row["rungs"]):
            for step in row["rungs"]:
                share = f"{100 * step['ok'] / step['tried']:.1f} %"
                table.add_row(row["molecule"], row["level"], step["rung"], str(step["tried"]), str(step["ok"]), share)
    return table


def _why(rows: list[dict[str, Any]]) -> Table:
    table = make_table("Why labels failed or were rejected", ("molecule", "level", "reason"), ("attempts",))
    for row in rows:
        for reason in row["reasons"]:
            table.add_row(row["molecule"], row["level"], reason["reason"], str(reason["attempts"]))
    return table


def _reasons(store: "Store", molecule: str, level: str) -> list[dict[str, Any]]:
    """The most frequent reasons."""
    from asteroid.levels import LevelOfTheory
    from asteroid.store.ledger import count_reasons

    counted = count_reasons(store.attempts(molecule, LevelOfTheory.parse(level, imported=True)))
    return [{"reason": reason, "attempts": count} for reason, count in counted.most_common(MOST_REASONS)]


def _chosen(store: "Store", molecule: str | None, level: str | None) -> list[tuple[str, "LevelOfTheory"]]:
    """Molecules and levels to audit: the named ones, or all.

    Raises:
        InputError: for a molecule or level that is not in the store.
    """
    molecules = store.molecules()
    if molecule is not None and molecule not in molecules:
        raise InputError(f"--molecule: the store has no '{molecule}'; {suggest(molecule, molecules)}")
    there = [(name, each) for name in molecules if molecule in (None, name) for each in store.levels(name)]
    # Labels of a composite level are audited at its parts.
    named = {str(part) for _, each in there if str(each) == level for part in each.computed}
    wanted = [(name, each) for name, each in there if not each.parts and (level is None or str(each) in named)]
    if level is not None and not wanted:
        raise InputError(f"--level: the store has no labels at '{level}'; {suggest(level, {str(x) for _, x in there})}")
    return wanted


def _audit_row(audit: "Audit") -> dict[str, Any]:
    return {
        "molecule": audit.molecule,
        "level": str(audit.level),
        "labels": audit.labels,
        "foreign": audit.foreign,
        "outliers": len(audit.outliers),
        "checked": len(audit.checks),
        "energy_error": audit.energy_error,
        "force_error": audit.force_error,
        "withdrawn": [{"frame_id": one.frame_id, "reason": one.reason} for one in audit.withdrawn],
    }


def _print_audits(audits: list["Audit"]) -> None:
    figures = ("labels", "outliers", "recomputed", "energy error eV", "force error eV/Å", "withdrawn")
    table = make_table("Audit of labels", ("molecule, level",), figures)
    for audit in audits:
        errors = ("–" if error is None else f"{error:.1e}" for error in (audit.energy_error, audit.force_error))
        counts = (str(audit.labels), str(len(audit.outliers)), str(len(audit.checks)))
        table.add_row(f"{audit.molecule}\n{audit.level}", *counts, *errors, str(len(audit.withdrawn)))
    out.print(table)
    for audit in audits:
        if audit.foreign:
            out.print(
                f"{audit.molecule} at {audit.level}: {plural(audit.foreign, 'label')} of other programs, not recomputed"
            )
        for one in audit.withdrawn:
            out.print(f"{audit.molecule} at {audit.level}: frame {one.frame_id}: {one.reason}", markup=False)
