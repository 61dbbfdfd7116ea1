"""The command line: ``asteroid run``, ``check``, ``label`` and ``status``.

Thin: each command reads its arguments, calls :mod:`asteroid.stages` or a layer below it, and prints. Exit codes: 0
done, 1 the work failed, 2 bad input. For people there is a progress bar and a table, for machines ``--json``.
"""

import json
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from asteroid import __version__
from asteroid.errors import AsteroidError, InputError, MissingDependencyError

app = typer.Typer(
    name="asteroid",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Accurate machine-learned force fields from few expensive labels and many cheap ones.\n\n"
    "Start with [bold]asteroid check manifests/demo.yaml[/], then [bold]asteroid run manifests/demo.yaml[/].",
)

ManifestArgument = Annotated[Path, typer.Argument(help="YAML file that names molecules, levels of theory and budgets.")]
StoreOption = Annotated[str, typer.Option("--store", help="Folder or s3:// URL where everything is kept.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table for people.")]

# A pipe has no width: wide enough that no table folds a name.
out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 160)


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
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
        _print_json(outcomes)
        return
    _print_outcomes(outcomes)
    out.print(f"Index of all reports: {where.location('reports/index.html')}")


@app.command()
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
        _print_json(error.problems)
        raise typer.Exit(2) from None
    if as_json:
        _print_json([])
        return
    names = ", ".join(molecule.name for molecule in loaded.molecules)
    out.print(f"{manifest}: {len(loaded.molecules)} molecules are fine: {names}")


@app.command()
def label(
    file: Annotated[Path, typer.Argument(help="Any file that ASE reads; every frame in it is labelled.")],
    level: Annotated[str, typer.Option("--level", help="Level of theory, e.g. gfn2-xtb or ccsd(t)/cc-pvdz.")],
    charge: Annotated[int, typer.Option(help="Total charge in e.")] = 0,
    multiplicity: Annotated[int, typer.Option(help="2S + 1; the lowest possible when 0.")] = 0,
    engine: Annotated[str | None, typer.Option(help="Program to use where there are several: tblite or xtb.")] = None,
    forces: Annotated[bool, typer.Option(help="Compute forces, or the energy alone.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes, one thread each.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Label the frames of a file: the quickest way to try a method.

    Prints energies in eV and forces in eV/Å; stores nothing.
    """
    from asteroid.labelling import check_supported
    from asteroid.labelling.campaign import label_configurations
    from asteroid.levels import LevelOfTheory

    try:
        parsed = LevelOfTheory.parse(level)
    except InputError as error:
        raise InputError(f"--level: {error}") from None
    configurations = _read_configurations(file, charge, multiplicity)
    for configuration in configurations:
        parsed.check_elements(configuration.numbers)
        check_supported(parsed, charge=charge, multiplicity=configuration.multiplicity, forces=forces)
    order = {c.frame_id: i for i, c in reversed(list(enumerate(configurations)))}
    unique = [configurations[i] for i in sorted(order.values())]
    by_id = {}
    with _bar(len(unique), f"{level}", quiet=as_json) as advance:
        for attempt in label_configurations(unique, parsed, engine=engine, workers=workers, forces=forces):
            by_id[attempt.frame_id] = attempt
            advance()
    attempts = [by_id[c.frame_id] for c in configurations]
    if as_json:
        _print_json(
            [
                {
                    "status": a.status,
                    "energy": a.energy,
                    "forces": None if a.forces is None else a.forces.tolist(),
                    "reason": a.reason,
                    "core_seconds": a.core_seconds,
                }
                for a in attempts
            ]
        )
    else:
        table = Table(
            "frame",
            "formula",
            "status",
            "energy / eV",
            "largest force / eV/Å",
            "core-seconds",
            title=f"{file} at {parsed}",
        )
        for index, (configuration, a) in enumerate(zip(configurations, attempts, strict=True)):
            largest = "" if a.forces is None else f"{abs(a.forces).max():.4f}"
            energy = a.reason if a.energy is None else f"{a.energy:.6f}"
            table.add_row(str(index), configuration.formula, a.status, energy, largest, f"{a.core_seconds:.3f}")
        out.print(table)
    if any(a.status != "ok" for a in attempts):
        raise typer.Exit(1)


@app.command()
def status(store: StoreOption = "./store", as_json: JsonOption = False) -> None:
    """Per molecule and level: frames, labels that are ok, failed or rejected, and core-hours."""
    from asteroid.store import Store

    rows = Store(store).status()
    if as_json:
        _print_json(rows)
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


def _read_configurations(file: Path, charge: int, multiplicity: int) -> list[Any]:
    """Every frame of a file as a configuration."""
    from asteroid.configuration import Configuration
    from asteroid.structures import read_frames

    configurations = []
    for index, atoms in enumerate(read_frames(file)):
        spin = multiplicity or 1 + (int(atoms.numbers.sum()) - charge) % 2
        try:
            configurations.append(Configuration.from_atoms(atoms, charge=charge, multiplicity=spin))
        except ValueError as error:
            raise InputError(f"{file}: frame {index}: {error}") from None
    return configurations


class _bar:  # noqa: N801 - reads as a function
    """A progress bar on standard error that a pipe does not see."""

    def __init__(self, total: int, title: str, *, quiet: bool) -> None:
        from rich.progress import Progress

        console = Console(stderr=True)
        self._progress = Progress(console=console, transient=True, disable=quiet or not console.is_terminal)
        self._task = self._progress.add_task(title, total=total)

    def __enter__(self) -> Any:
        self._progress.start()
        return lambda: self._progress.advance(self._task)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _print_outcomes(outcomes: Sequence[dict[str, Any]]) -> None:
    for o in outcomes:
        verdict = "[green]certified[/]" if o["passed"] else "[yellow]not certified[/]"
        out.print(f"\n[bold]{o['molecule']}[/]: {verdict}. {o['quality']}")
        out.print(f"  {o['benefit']}")
        out.print(f"  model   {o['model']}\n  report  {o['report']}")


def _print_json(content: Any) -> None:
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def main() -> None:
    """Entry point: errors raised on purpose become one line each and an exit code."""
    try:
        app()
    except InputError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(2)
    except AsteroidError as error:
        print(f"asteroid: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
