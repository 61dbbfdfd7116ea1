"""``asteroid compact``: copy the many small files of a store into few large ones, which are read instead."""

from typing import Any

from asteroid.cli.common import JsonOption, StoreOption, make_table, out, print_json


def compact(store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """Copy many small files into few large ones, which asteroid reads instead; labelling may continue meanwhile."""
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
    table = make_table(f"Files that asteroid reads in {store}", ("molecule",), ("before", "after"))
    for row in rows:
        table.add_row(row["molecule"], str(row["files_before"]), str(row["files_after"]))
    out.print(table)
