"""``asteroid doctor``: checks whether asteroid works on this machine."""

import dataclasses

import typer
from rich.console import Console

from asteroid.cli.common import JsonOption, StoreOption, out, print_json

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}


def doctor(store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """Check the installation and its results.

    Compares a label of each program with a published energy, checks that a training step respects frame weights, and
    tests the store and Prefect. Exits with 1 when a check failed.
    """
    from asteroid.doctor import examine
    from asteroid.store import Store

    Store(store)
    checks = []
    with Console(stderr=True).status("examining"):
        for check in examine(store):
            checks.append(check)
            if not as_json:
                colour = COLOURS[check.status]
                out.print(f"[{colour}]{check.status:7}[/]  [bold]{check.name}[/]: {check.found}")
                if check.advice:
                    out.print(f"         → {check.advice}", markup=False)
    if as_json:
        print_json([dataclasses.asdict(check) for check in checks])
    if any(check.status == "failed" for check in checks):
        raise typer.Exit(1)
