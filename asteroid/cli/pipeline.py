"""``asteroid run`` and ``asteroid check``: the whole pipeline, and a manifest before anything is spent."""

from collections.abc import Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from rich.console import Console

from asteroid.cli.common import JsonOption, ManifestArgument, out, print_json
from asteroid.errors import InputError, MissingDependencyError


def run(
    manifest: ManifestArgument,
    store: Annotated[
        str | None, typer.Option("--store", help="Folder or URL; the manifest's own when not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole pipeline on this machine.

    Samples, labels, trains, validates and reports every molecule of the manifest. It can be stopped or killed at any
    moment; run it again and it goes on where things stand, and nothing is computed twice.
    """
    from asteroid.stages import load_checked
    from asteroid.store import Store

    loaded = load_checked(manifest)
    where = Store(store or loaded.store)
    if find_spec("prefect") is None:
        raise MissingDependencyError("prefect", "all")
    runners = entry_points(group="asteroid.runner")
    console = Console(stderr=True, highlight=False) if as_json else Console(highlight=False)
    outcomes = runners["local"].load()(str(manifest), where.url, console=console)
    if as_json:
        print_json(outcomes)
        return
    _print_outcomes(outcomes)
    out.print(f"Index of all reports: {where.location('reports/index.html')}")


def check(manifest: ManifestArgument, as_json: JsonOption = False) -> None:
    """Check a manifest before anything is spent.

    Prints one line a problem (file, key, what was found, what to write) and exits with 2, or says that all is well.
    With --json it prints the list of problems.
    """
    from asteroid.stages import load_checked

    try:
        loaded = load_checked(manifest)
    except InputError as error:
        if not as_json:
            raise
        print_json(error.problems)
        raise typer.Exit(2) from None
    if as_json:
        print_json([])
        return
    names = ", ".join(molecule.name for molecule in loaded.molecules)
    out.print(f"{manifest}: {len(loaded.molecules)} molecules are fine: {names}")


def _print_outcomes(outcomes: Sequence[dict[str, Any]]) -> None:
    for o in outcomes:
        verdict = "[green]certified[/]" if o["passed"] else "[yellow]not certified[/]"
        out.print(f"\n[bold]{o['molecule']}[/]: {verdict}. {o['quality']}")
        out.print(f"  {o['benefit']}")
        out.print(f"  model   {o['model']}\n  report  {o['report']}")
