"""``asteroid open``: the newest report in a browser."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from asteroid.cli.common import StoreOption, out
from asteroid.errors import InputError


def open_report(
    molecule: Annotated[str | None, typer.Argument(help="Only reports of this molecule.", show_default="all")] = None,
    store: StoreOption = "./store",
) -> None:
    """Show the newest report in a browser, and print its path."""
    from asteroid.store import Store, paths

    where = Store(store)
    if where.local is None:
        raise InputError(f"--store: found '{store}', whose reports no browser can open; copy its folder reports")
    molecules = where.molecules() if molecule is None else [molecule]
    found = [
        path
        for name in molecules
        for folder in where.names(paths.reports(name))
        if where.exists(path := paths.report(name, folder, "report.html"))
    ]
    if not found:
        has = f"no report of '{molecule}'" if molecule else "no report"
        raise InputError(f"--store: found {has} in '{store}'; run a manifest, or write another store")
    newest = Path(where.location(max(found, key=where.modified)))
    out.print(str(newest), markup=False)
    # Without a browser it returns False, and the path is all.
    webbrowser.open(newest.as_uri())
