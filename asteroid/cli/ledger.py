"""``asteroid status``: what the ledger of labels holds, and what it cost."""

from rich.table import Table

from asteroid.cli.common import JsonOption, StoreOption, out, print_json


def status(store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """Per molecule and level: frames, labels that are ok, failed or rejected, and core-hours."""
    from asteroid.store import Store

    rows = Store(store).status()
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print(f"{store}: no molecules yet; run: asteroid run manifests/demo.yaml --store {store}")
        return
    table = Table(title=f"Labels in {store}")
    for name in ("molecule", "level"):
        table.add_column(name, overflow="fold")
    for name in ("frames", "ok", "failed", "rejected", "core-hours"):
        table.add_column(name, justify="right")
    for row in rows:
        counts = [str(row[name]) for name in ("frames", "ok", "failed", "rejected")]
        table.add_row(row["molecule"], row["level"], *counts, f"{row['core_hours']:.4f}")
    out.print(table)
