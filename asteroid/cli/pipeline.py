"""``asteroid run`` and ``asteroid check``: the whole pipeline, and the check of a manifest."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from asteroid.cli.common import (
    WARNING,
    JsonOption,
    ManifestArgument,
    load_with_warnings,
    out,
    print_json,
    print_warnings,
)
from asteroid.cli.init import HOURS, HoursOption, LevelOption, manifest_of
from asteroid.errors import InputError, plural

NOT_CERTIFIED = 3
"""Exit status of a finished run with a model that is not certified."""


def run(
    manifest: Annotated[
        str, typer.Argument(help="Manifest (.yaml); or one molecule as SMILES or a geometry file that ASE reads.")
    ],
    level: LevelOption = None,
    hours: HoursOption = HOURS,
    store: Annotated[
        str | None, typer.Option("--store", help="Folder or URL; the manifest's own when not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole pipeline on this machine.

    For a SMILES or a geometry file, a first manifest is written to the current folder, as by "asteroid init" with
    --level and --hours.

    Samples, labels, trains, validates and reports every model of the manifest. It can be stopped or killed at any time:
    run it again and it continues, and nothing is computed twice. A model that fails does not stop the others. Exits
    with 0 when all models are certified, 1 when the work on one failed, 2 for bad input, 3 when a finished model is not
    certified, and 130 (143) when stopped by Ctrl-C (SIGTERM).

    Examples: asteroid run manifests/demo.yaml, or asteroid run caffeine.xyz --level df-pbe-d3bj/def2-svp
    """
    from asteroid.pipeline.local import run as run_here
    from asteroid.store import Store

    path = Path(manifest)
    if path.suffix not in (".yaml", ".yml"):
        path = manifest_of(manifest, level, hours)
    elif level is not None or hours != HOURS:
        raise InputError(f"{path}: found --level or --hours beside a manifest; write the level into the manifest")
    loaded = load_with_warnings(path)
    where = Store(store or loaded.store)
    console = Console(stderr=True, highlight=False) if as_json else Console(highlight=False)
    outcomes = run_here(where, loaded.molecules, console=console)
    failed = [outcome for outcome in outcomes if "failure" in outcome]
    finished = [outcome for outcome in outcomes if "failure" not in outcome]
    if as_json:
        print_json(outcomes)
    elif finished:
        _print_outcomes(finished)
        out.print(f"Index of all reports: {where.location('reports/index.html')}")
    for outcome in failed:
        print(f"{outcome['molecule']}: failed: {outcome['failure']}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)
    if not all(outcome["passed"] for outcome in finished):
        raise typer.Exit(NOT_CERTIFIED)


def check(
    manifest: ManifestArgument,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse probable mistakes, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a manifest before anything is computed.

    Prints one line per problem (file, key, what was found, what to write) and exits with 2, or reports that the
    manifest is fine. Probable mistakes (coordinates in bohr, exchanged levels, a time step of 100 fs, labels that take
    days) are lines that begin with "warning: "; with --strict they are problems. With --json it prints the list of
    these lines.
    """
    from asteroid.exchange import check_names
    from asteroid.stages import likely_mistakes, load_checked
    from asteroid.store import Store

    try:
        loaded = load_checked(manifest)
        store = Store(loaded.store)
        # Not for a bucket, which may be unreachable.
        if store.local is not None:
            check_names(store, (molecule.name for molecule in loaded.molecules))
        doubts = likely_mistakes(loaded)
        if strict and doubts:
            raise InputError(doubts)
    except InputError as error:
        if not as_json:
            raise
        print_json(error.problems)
        raise typer.Exit(2) from None
    if as_json:
        print_json([f"{WARNING}{doubt}" for doubt in doubts])
        return
    print_warnings(doubts)
    names = ", ".join(molecule.name for molecule in loaded.molecules)
    fine = "is fine" if len(loaded.molecules) == 1 else "are fine"
    but = f" but for {plural(len(doubts), 'warning')}" if doubts else ""
    out.print(f"{manifest}: {plural(len(loaded.molecules), 'molecule')} {fine}{but}: {names}", markup=False)


def _print_outcomes(outcomes: Sequence[dict[str, Any]]) -> None:
    for o in outcomes:
        verdict = "[green]certified[/]" if o["passed"] else f"[yellow]not certified[/] ({o['state']})"
        name = f"[bold]{escape(o['molecule'])}[/]"
        if o["model_name"] != o["molecule"]:
            name += f" (model {escape(o['model_name'])}{', not trained on it' if o['unseen'] else ''})"
        out.print(f"\n{name}: {verdict}. {o['quality']}")
        out.print(f"  {o['benefit']}")
        if o["next_step"]:
            out.print(f"  [yellow]{escape(o['next_step'])}[/]")
        out.print(f"  model   {o['model']}\n  report  {o['report']}")
