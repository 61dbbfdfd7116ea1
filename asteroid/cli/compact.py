"""``asteroid compact``: a store of many small files becomes one of few large ones."""

from typing import Any

from rich.table import Table

from asteroid.cli.common import JsonOption, StoreOption, out, print_json


def compact(store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """Put many small files of a store into few large ones; labelling may go on meanwhile."""
    from asteroid.store import Store

    opened = Store(store)
    rows: list[dict[str, Any]] = []
    for molecule in opened.molecules():
        before = opened.table_files(molecule)
        opened.compact(molecule)
        rows.append({"molecule": molecule, "files_before": before, "files_after": opened.table_files(molecule)})
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print(f"{store}: no molecules yet; nothing to compact")
        return
    table = Table(title=f"Files in {store}")
    table.add_column("molecule", overflow="fold")
    for name in ("before", "after"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row["molecule"], str(row["files_before"]), str(row["files_after"]))
    out.print(table)
