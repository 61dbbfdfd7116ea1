"""``asteroid compact``: many small files of a store are copied into few large ones, to be read in their place."""

from typing import Any

from rich.table import Table

from asteroid.cli.common import JsonOption, StoreOption, out, print_json


def compact(store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """Copy many small files into few large ones, which asteroid reads in their place; labelling may go on meanwhile."""
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
    table = Table(title=f"Files that asteroid opens in {store}")
    table.add_column("molecule", overflow="fold")
    for name in ("before", "after"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row["molecule"], str(row["files_before"]), str(row["files_after"]))
    out.print(table)
